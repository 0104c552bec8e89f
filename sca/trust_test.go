package sca_test

import (
	"slices"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// ordered has the payer confirm a payment with his passkey and its order sent.
func (w *world) ordered(k *key, payment string, level sca.Level) sca.Challenge {
	w.t.Helper()
	w.require(sca.PaymentFacts{PaymentID: payment, PersonID: w.person, Amount: psd2.Euro(2500), CreditorIBAN: w.linked(payment).CreditorIBAN, Approach: "redirect", Merchant: level})
	c := w.begin(payment, level)
	must(w.t, w.answerKey(c.ID, k.assert(w.t, c.Options)))
	must(w.t, w.db.Tx(w.t.Context(), func(tx *store.Tx) error { return w.Recheck(tx, payment, w.linked(payment)) }))
	return c
}

// hinted asks the policy whether the payee of all payments here is on the list.
func (w *world) hinted(payment string) bool {
	w.t.Helper()
	r := w.require(sca.PaymentFacts{PaymentID: payment, PersonID: w.person, Amount: psd2.Euro(99900), CreditorIBAN: w.linked(payment).CreditorIBAN, Approach: "redirect"})
	return slices.Contains(r.Exemptions, sca.Trusted)
}

// TestPayeeIsTrustedOnlyAfterAnAuthenticationOfItsOwn: RTS Art. 13(1).
func TestPayeeIsTrustedOnlyAfterAnAuthenticationOfItsOwn(t *testing.T) {
	testkitBoth(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		a := w.withTOTP()
		k := w.withMorePasskeys()
		w.clock.Add(time.Hour)
		by := w.enrolment()
		unused := w.begin("pay_unused", sca.WithPasskey) // confirmed, never sent
		must(t, w.answerKey(unused.ID, k.assert(t, unused.Options)))
		weak := w.begin("pay_code", sca.Any)
		must(t, w.answerCode(weak.ID, a.code()))
		w.clock.Add(31 * time.Second)
		c := w.ordered(k, "pay_1", sca.Strong)
		if got := reason(w.Trust(ctx, by, c.ID)); got != "reauthenticate" {
			t.Errorf("a session that has proved nothing: %q", got)
		}
		must(t, w.VerifyCode(ctx, by, sca.TOTP, a.code()))
		by = w.session2(by)
		if got := reason(w.Trust(ctx, by, c.ID)); got != "reauthenticate" {
			t.Errorf("one element alone: %q", got)
		}
		ceremony, err := w.BeginVerify(ctx, by)
		must(t, err)
		must(t, w.VerifyPasskey(ctx, by, ceremony.ID, k.assert(t, ceremony.Options)))
		by = w.session2(by)
		for name, id := range map[string]string{"never sent": unused.ID, "confirmed with one element": weak.ID, "no challenge": "chl_x"} {
			if err := w.Trust(ctx, by, id); err == nil {
				t.Errorf("%s: it is trusted", name)
			}
		}
		other := w.enrolmentOf(w.db.PersonID("mer_1", "somebody else"))
		if err := w.Trust(ctx, other, c.ID); err == nil {
			t.Error("somebody else's session put it on the list")
		}
		if w.hinted("pay_2") {
			t.Fatal("it is trusted already")
		}
		trusted, others, err := w.Trusted(ctx, w.person)
		must(t, err)
		if len(trusted) != 0 || len(others) != 1 || others[0].ID != c.ID || others[0].Name != "Casino Example Ltd" {
			t.Fatalf("offered %+v, trusted %+v", others, trusted)
		}
		must(t, w.Trust(ctx, by, c.ID))
		must(t, w.Trust(ctx, by, c.ID)) // twice is once
		if trusted, others, err = w.Trusted(ctx, w.person); err != nil || len(trusted) != 1 || len(others) != 0 || trusted[0].Name != "Casino Example Ltd" || trusted[0].IBAN == string(c.Linked.CreditorIBAN) {
			t.Fatalf("offered %+v, trusted %+v, %v", others, trusted, err)
		}
		if !w.hinted("pay_2") || w.notices.count(sca.PayeeTrusted) == 0 {
			t.Error("the policy, or the payer, was not told")
		}
		w.clock.Add(6 * time.Minute) // the proof is over, so the list stays as it is
		if err := w.Distrust(ctx, by, trusted[0].ID); reason(err) != "reauthenticate" {
			t.Errorf("without a fresh proof: %v", err)
		}
		by = w.enrolment()
		ceremony, err = w.BeginVerify(ctx, by)
		must(t, err)
		must(t, w.VerifyPasskey(ctx, by, ceremony.ID, k.assert(t, ceremony.Options)))
		must(t, w.Distrust(ctx, w.session2(by), trusted[0].ID))
		if w.hinted("pay_3") || w.notices.count(sca.PayeeDistrusted) != 1 {
			t.Error("it is trusted still, or the payer was not told")
		}
	})
}
