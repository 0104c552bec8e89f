package sca_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

func (w *world) forget(person string) {
	w.t.Helper()
	must(w.t, w.db.Tx(w.t.Context(), func(tx *store.Tx) error { return w.Forget(tx, person) }))
}

// TestForgottenPersonIsGone: every row that names him is gone, the receipts he
// or his merchant hold verify as before, and the fraud rate has not changed.
func TestForgottenPersonIsGone(t *testing.T) {
	testkitBoth(t, func(t *testing.T, w *world) {
		list := receipts(t, w)
		w.count("pay_push", 2500, true)
		w.clock.Add(time.Second)
		before, err := w.FraudRates(t.Context(), w.clock.Now())
		must(t, err)
		stays := w.enrolmentOf("psn_other")
		w.forget(w.person)
		for _, table := range []string{"sca_factors", "sca_challenges", "sca_sessions", "sca_attempts", "sca_changes", "sca_transfers", "sca_trusted", "sca_devices", "sca_links"} {
			var n int
			must(t, w.db.Get(t.Context(), &n, `SELECT COUNT(*) FROM `+table+` WHERE person_id = ?`, w.person))
			if n != 0 {
				t.Errorf("%s: %d", table, n)
			}
		}
		var people, receipts int
		must(t, w.db.Get(t.Context(), &people, `SELECT COUNT(*) FROM sca_people WHERE id = ?`, w.person))
		must(t, w.db.Get(t.Context(), &receipts, `SELECT COUNT(*) FROM sca_receipts`))
		if people != 0 || receipts != 0 {
			t.Errorf("%d people, %d receipts", people, receipts)
		}
		if _, err := w.Receipt(t.Context(), "pay_push"); psd2.CodeOf(err) != psd2.CodeNotFound {
			t.Errorf("his receipt is still given out: %v", err)
		}
		for method, jws := range list {
			if _, err := sca.VerifyReceipt(jws, w.receiptKeys()); err != nil {
				t.Errorf("a receipt that was given out before no longer verifies: %s: %v", method, err)
			}
		}
		after, err := w.FraudRates(t.Context(), w.clock.Now())
		must(t, err)
		if after.All != before.All || after.All == 0 {
			t.Errorf("the rate was made of %d, now of %d", before.All, after.All)
		}
		if _, err := w.Refreshed(t.Context(), stays); err != nil {
			t.Errorf("somebody else was forgotten as well: %v", err)
		}
	})
}

func TestPersonGetsWhatIsKeptOfHim(t *testing.T) {
	w := sqlite(t)
	list := receipts(t, w)
	secret, err := w.NewDeviceSecret()
	must(t, err)
	w.paidFrom("pay_push", secret, newPhone(w).known(secret))
	w.require(sca.PaymentFacts{PaymentID: "pay_push", PersonID: w.person, Amount: psd2.Euro(2500), Approach: "redirect", Risk: sca.Risk{Score: 40, Reasons: []string{"rule"}}})
	d, err := w.PersonData(t.Context(), w.person)
	must(t, err)
	if len(d.Factors) != 3 || len(d.Changes) < 3 || len(d.Browsers) != 1 || d.Browsers[0].Payments != 1 || len(d.Confirmations) != len(list) {
		t.Errorf("%+v", d)
	}
	if c := d.Confirmations[0]; c.PaymentID != "pay_totp" || c.State != sca.Approved || !strings.Contains(c.Text, "Casino Example Ltd") {
		t.Errorf("%+v", c)
	}
	text, err := json.Marshal(d)
	must(t, err)
	for _, hidden := range []string{w.apps[w.person].secret, `"rule"`, "strong", "score"} { // a secret, and why he was asked (GwG §47(1))
		if strings.Contains(string(text), hidden) {
			t.Errorf("%q is in %s", hidden, text)
		}
	}
	nobody, err := w.PersonData(t.Context(), "psn_nobody")
	must(t, err)
	if b, err := json.Marshal(nobody); err != nil || string(b) != "{}" {
		t.Errorf("%s %v", b, err)
	}
}
