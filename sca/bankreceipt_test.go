package sca_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// TestEveryAuthorisedPaymentHasAReceipt: where the bank alone has authenticated
// the payer, it says so, and what the hub saw of it; never that he was shown
// something here.
func TestEveryAuthorisedPaymentHasAReceipt(t *testing.T) {
	testkitBoth(t, func(t *testing.T, w *world) {
		p := w.paid(2000, psd2.SCAFinalised)
		if _, err := w.Receipt(t.Context(), p.ID); psd2.CodeOf(err) != psd2.CodeNotFound {
			t.Fatal("there is a receipt before anybody looked")
		}
		for range 2 { // what comes again makes no second one
			w.follow("one")
			w.clock.Add(time.Minute)
			must(t, w.db.Tx(t.Context(), func(tx *store.Tx) error { return tx.SetCursor("sca.follow", 0) }))
		}
		jws, err := w.Receipt(t.Context(), p.ID)
		must(t, err)
		r, err := sca.VerifyReceipt(jws, w.receiptKeys())
		must(t, err)
		if b := r.Evidence.Bank; r.Method != sca.AtBank || r.PerformedBy != psd2.SCAByASPSP || r.Display != (sca.Display{}) || b == nil || b.BankID != "b" || b.Approach != "redirect" ||
			b.SCAStatus != psd2.SCAFinalised || b.Status != "ACSC" || r.Linked.Amount != psd2.Euro(2000) || r.Linked.CreditorName != "Casino" {
			t.Errorf("%+v", r)
		}
		var n int
		must(t, w.db.Get(t.Context(), &n, `SELECT COUNT(*) FROM sca_receipts`))
		if n != 1 {
			t.Errorf("%d receipts", n)
		}
		key, err := w.keys.Signer(jose.ES256, w.clock.Now())
		must(t, err)
		for name, change := range map[string]func(*sca.Receipt){
			"done here":       func(r *sca.Receipt) { r.PerformedBy = "hub" },
			"no bank":         func(r *sca.Receipt) { r.Evidence.Bank = nil },
			"shown":           func(r *sca.Receipt) { r.Display.Text = "Pay 1 EUR" },
			"a factor's hash": func(r *sca.Receipt) { r.Evidence.StepHash = strings.Repeat("ab", 32) },
			"another payment": func(r *sca.Receipt) { r.Linked.Amount = psd2.Euro(1) },
		} {
			forged := *r
			change(&forged)
			payload, err := json.Marshal(forged)
			must(t, err)
			detached, err := jose.SignDetached(key, payload, r.At)
			must(t, err)
			header, signature, _ := strings.Cut(detached, "..")
			if _, err := sca.VerifyReceipt(header+"."+base64.RawURLEncoding.EncodeToString(payload)+"."+signature, w.receiptKeys()); err == nil {
				t.Errorf("%s: signed, and it verifies", name)
			}
		}
		must(t, w.db.Tx(t.Context(), func(tx *store.Tx) error { return w.Forget(tx, w.person) }))
		if _, err := w.Receipt(t.Context(), p.ID); psd2.CodeOf(err) != psd2.CodeNotFound {
			t.Error("it is there after its person was forgotten")
		}
	})
}

// TestWhoConfirmedHereHasThatReceipt: the bank's word does not replace his.
func TestWhoConfirmedHereHasThatReceipt(t *testing.T) {
	w := sqlite(t)
	k := w.withPasskey()
	p := w.paid(2500, psd2.SCAFinalised)
	w.ordered(k, p.ID, sca.Strong)
	w.follow("one")
	jws, err := w.Receipt(t.Context(), p.ID)
	must(t, err)
	if r, err := sca.VerifyReceipt(jws, w.receiptKeys()); err != nil || r.Method != sca.Passkey || r.PerformedBy != "hub" {
		t.Errorf("%+v %v", r, err)
	}
}

// TestReceiptIsCheckedByItsOwnKeyAmongAll: there may be more than any key set in
// use may hold.
func TestReceiptIsCheckedByItsOwnKeyAmongAll(t *testing.T) {
	w := sqlite(t)
	var first string
	for i := range 12 {
		p := w.paid(2000, psd2.SCAFinalised)
		w.clock.Add(time.Minute)
		w.follow("one")
		if i == 0 {
			var err error
			first, err = w.Receipt(t.Context(), p.ID)
			must(t, err)
		}
		must(t, w.keys.Rotate(rand.Reader, w.clock.Now(), 0, time.Hour))
		w.clock.Add(2 * time.Hour)
	}
	all, err := w.ReceiptKeys(t.Context())
	must(t, err)
	if n := strings.Count(string(all), `"kid"`); n < 11 {
		t.Fatalf("%d keys are kept", n)
	}
	key, err := sca.KeyOf(first, all)
	must(t, err)
	if _, err := sca.VerifyReceipt(first, key); err != nil {
		t.Error(err)
	}
	stranger, err := jose.NewKeySet(rand.Reader, w.clock.Now(), jose.ES256)
	must(t, err)
	others, err := stranger.PublicJWKS(w.clock.Now())
	must(t, err)
	if _, err := sca.KeyOf(first, others); err == nil {
		t.Error("a stranger's keys have one for it")
	}
}
