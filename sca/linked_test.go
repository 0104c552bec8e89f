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

// TestCanonicalJSON holds the writer against RFC 8785: §3.2.2.2 (strings) and
// §3.2.3 (order of members).
func TestCanonicalJSON(t *testing.T) {
	for _, c := range []struct {
		in   map[string]any
		want string
	}{
		{map[string]any{"string": "\u20ac$\u000f\nA'B\"\\\\\"/"}, `{"string":"€$\u000f\nA'B\"\\\\\"/"}`},
		{map[string]any{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
			"\U0001f600": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"},
			`{"\r":"Carriage Return","1":"One","` + "\u0080" + `":"Control","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign","😀":"Emoji: Grinning Face","` + "\ufb33" + `":"Hebrew Letter Dalet With Dagesh"}`},
		{map[string]any{"b": int64(-1), "a": int64(9007199254740991), "c": map[string]any{"": ""}}, `{"a":9007199254740991,"b":-1,"c":{"":""}}`},
		{map[string]any{"x": "\b\t\f\r\u007f\u2028<>&"}, `{"x":"\b\t\f\r` + "\u007f\u2028" + `<>&"}`},
	} {
		got, err := sca.Canonical(c.in)
		must(t, err)
		if string(got) != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	for _, bad := range []any{"\xff", int64(1 << 53), 1.5, nil, []string{}} {
		if b, err := sca.Canonical(map[string]any{"x": bad}); err == nil {
			t.Errorf("%v was written as %s", bad, b)
		}
	}
}

func FuzzNoTwoLinksHashAlike(f *testing.F) { // A22
	f.Add("Shop|25", "Deposit", "Shop", "25|Deposit")
	f.Add("a\n", "b", "a", "\nb")
	f.Add(`a","debtor_ref":"x`, "y", "a", "x")
	f.Fuzz(func(t *testing.T, name1, ref1, name2, ref2 string) {
		one := sca.Linked{PaymentID: "pay_1", Amount: psd2.Euro(1), CreditorName: name1, DebtorRef: ref1}
		two := sca.Linked{PaymentID: "pay_1", Amount: psd2.Euro(1), CreditorName: name2, DebtorRef: ref2}
		h1, err1 := one.Hash()
		h2, err2 := two.Hash()
		if err1 != nil || err2 != nil {
			return
		}
		if (h1 == h2) != (name1 == name2 && ref1 == ref2) {
			t.Errorf("%q %q and %q %q", name1, ref1, name2, ref2)
		}
		b, err := one.Canonical()
		var back map[string]any
		if err != nil || json.Unmarshal(b, &back) != nil || back["creditor_name"] != name1 || back["debtor_ref"] != ref1 {
			t.Errorf("%s is not JSON of %q, %q", b, name1, ref1)
		}
	})
}

func TestEveryBoundFieldChangesTheHash(t *testing.T) {
	w := sqlite(t)
	base := w.linked("pay_1")
	want, err := base.Hash()
	must(t, err)
	for name, change := range map[string]func(*sca.Linked){
		"payment":  func(l *sca.Linked) { l.PaymentID = "pay_2" },
		"amount":   func(l *sca.Linked) { l.Amount.AmountMinor++ },
		"currency": func(l *sca.Linked) { l.Amount.Currency = "SEK" },
		"name":     func(l *sca.Linked) { l.CreditorName += " " },
		"account":  func(l *sca.Linked) { l.CreditorIBAN = "DE89370400440532013000" },
		"ref":      func(l *sca.Linked) { l.DebtorRef = "deposit 1" },
		"shop":     func(l *sca.Linked) { l.Shop.Name = "Casino Exemple" },
		"domain":   func(l *sca.Linked) { l.Shop.Domain = "casino.example.net" },
		"no shop":  func(l *sca.Linked) { l.Shop = sca.Shop{} },
		"nonce":    func(l *sca.Linked) { l.Nonce = "x" },
		"expiry":   func(l *sca.Linked) { l.Expires++ },
	} {
		l := base
		change(&l)
		if got, err := l.Hash(); err != nil || got == want {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
}

func TestWhatWasShownRendersTheSame(t *testing.T) {
	w := sqlite(t)
	l := w.linked("pay_1")
	l.Amount = psd2.Euro(123456789)
	for lang, want := range map[string]string{
		"en": "Pay EUR 1,234,567.89\nto Casino Example Ltd\naccount MT84 MALT 0110 0001 2345 MTLC AST0 01S\nreference Deposit 1",
		"de": "Zahlung von 1.234.567,89 EUR\nan Casino Example Ltd\nKonto MT84 MALT 0110 0001 2345 MTLC AST0 01S\nVerwendungszweck Deposit 1",
		"fr": "Pay EUR 1,234,567.89\nto Casino Example Ltd\naccount MT84 MALT 0110 0001 2345 MTLC AST0 01S\nreference Deposit 1",
	} {
		d, err := sca.Render("p1", lang, l)
		must(t, err)
		if d.Text != want {
			t.Errorf("%s: %q", lang, d.Text)
		}
	}
	if d, err := sca.Render("p2", "en", l); err != nil || !strings.HasSuffix(d.Text, "\nfor Casino Example\nwebsite casino.example") {
		t.Errorf("%q %v", d.Text, err)
	}
	if d, err := sca.Render("p2", "de", l); err != nil || !strings.HasSuffix(d.Text, "\nfür Casino Example\nWebsite casino.example") {
		t.Errorf("%q %v", d.Text, err)
	}
	// Stored and read again, it is what it was, and renders to itself.
	w.withTOTP()
	c := w.begin("pay_1", sca.Any)
	again, err := w.Challenge(t.Context(), c.ID, browser)
	must(t, err)
	fresh, err := sca.Render(again.Display.Template, again.Display.Language, again.Linked)
	must(t, err)
	if again.Display != c.Display || fresh != c.Display || fresh.Hash() != c.Display.Hash() || again.LinkHash != c.LinkHash {
		t.Errorf("%+v\n%+v", again.Display, c.Display)
	}
	// What would begin a line of its own, or reorder one, is shown as a mark.
	l.CreditorName = "Shop\naccount DE00\u202e\u200b"
	d, err := sca.Render("p1", "en", l)
	must(t, err)
	if n := len(d.Lines()); n != 4 || strings.ContainsAny(d.Text, "\u202e\u200b") {
		t.Errorf("%d lines: %q", n, d.Text)
	}
}

func TestConfirmedPaymentIsCheckedAgainBeforeItIsSent(t *testing.T) { // B06
	w := sqlite(t)
	a := w.withTOTP()
	decide := func(payment string, wish sca.Level) {
		t.Helper()
		w.require(sca.PaymentFacts{PaymentID: payment, PersonID: w.person, Amount: psd2.Euro(2500), CreditorIBAN: w.linked("").CreditorIBAN, Approach: "redirect", Merchant: wish})
	}
	recheck := func(payment string, now sca.Linked) error {
		return w.db.Tx(t.Context(), func(tx *store.Tx) error { return w.Recheck(tx, payment, now) })
	}
	decide("pay_1", sca.Any)
	if err := recheck("pay_1", w.linked("pay_1")); reason(err) != "sca_void" {
		t.Errorf("an unconfirmed payment passes: %v", err)
	}
	must(t, w.answerCode(w.begin("pay_1", sca.Any).ID, a.code()))
	changed := w.linked("pay_1")
	changed.Amount.AmountMinor = 2501
	if err := recheck("pay_1", changed); reason(err) != "sca_void" {
		t.Errorf("a changed amount passes: %v", err)
	}
	other := w.linked("pay_1")
	other.CreditorIBAN = "DE89370400440532013000"
	if err := recheck("pay_1", other); reason(err) != "sca_void" {
		t.Errorf("a changed payee passes: %v", err)
	}
	must(t, recheck("pay_1", w.linked("pay_1"))) // nothing else was wrong
	must(t, w.Voided(t.Context(), "pay_1"))
	if err := recheck("pay_1", w.linked("pay_1")); reason(err) != "sca_void" {
		t.Errorf("a voided confirmation passes: %v", err)
	}
	// Nothing was asked: nothing is missed. Nothing was decided: something is.
	decide("pay_2", "")
	must(t, recheck("pay_2", w.linked("pay_2")))
	if err := recheck("pay_3", w.linked("pay_3")); reason(err) != "sca_void" {
		t.Errorf("a payment without a decision passes: %v", err)
	}
	// What was asked later counts: a code does not do where a passkey is due.
	w.clock.Add(30e9)
	decide("pay_4", sca.Any)
	must(t, w.answerCode(w.begin("pay_4", sca.Any).ID, a.code()))
	w.withMorePasskeys()
	decide("pay_4", sca.WithPasskey)
	if err := recheck("pay_4", w.linked("pay_4")); reason(err) != "sca_void" {
		t.Errorf("a code stands for a passkey: %v", err)
	}
}

// withMorePasskeys enrols a passkey for a payer who has an app.
func (w *world) withMorePasskeys() *key {
	w.t.Helper()
	by := w.enrolment()
	w.clock.Add(30e9)
	must(w.t, w.VerifyCode(w.t.Context(), by, sca.TOTP, w.apps[w.person].code()))
	w.clock.Add(31e9)
	return w.enrolPasskey(w.session2(by))
}

// TestApprovalServesOneOrder: R-02. Another attempt, and one that comes late,
// need another approval.
func TestApprovalServesOneOrder(t *testing.T) {
	w := sqlite(t)
	a := w.withTOTP()
	recheck := func() error {
		return w.db.Tx(t.Context(), func(tx *store.Tx) error { return w.Recheck(tx, "pay_1", w.linked("pay_1")) })
	}
	stands := func() bool {
		t.Helper()
		c, err := w.Latest(t.Context(), "pay_1", browser)
		must(t, err)
		err = w.db.Tx(t.Context(), func(tx *store.Tx) error {
			return w.Confirmed(tx, "pay_1", sca.Decision{Level: sca.Any}, w.linked("pay_1"))
		})
		if (err == nil) != c.Stands {
			t.Errorf("the challenge stands: %t, but %v", c.Stands, err)
		}
		return c.Stands
	}
	w.decided("pay_1", sca.Any)
	must(t, w.answerCode(w.begin("pay_1", sca.Any).ID, a.code()))
	if !stands() {
		t.Fatal("an approval does not stand")
	}
	must(t, recheck())
	if err := recheck(); reason(err) != "sca_void" || stands() {
		t.Errorf("a second order: %v", err)
	}
	must(t, w.Voided(t.Context(), "pay_1")) // what was used stays what it was
	if c, err := w.Latest(t.Context(), "pay_1", browser); err != nil || c.State != sca.Approved {
		t.Errorf("%s %v", c.State, err)
	}
	w.clock.Add(31 * time.Second)
	c := w.begin("pay_1", sca.Any)
	must(t, w.answerCode(c.ID, a.code()))
	w.clock.Add(c.ExpiresAt.Sub(w.clock.Now()) + 5*time.Minute)
	if err := recheck(); reason(err) != "sca_void" || stands() {
		t.Errorf("late: %v", err)
	}
}

// decided keeps a decision about a payment.
func (w *world) decided(payment string, level sca.Level) {
	w.t.Helper()
	need, err := w.Require(w.t.Context(), sca.PaymentFacts{PaymentID: payment, PersonID: w.person, Amount: psd2.Euro(2500), CreditorIBAN: w.linked(payment).CreditorIBAN, Merchant: level})
	must(w.t, err)
	if need.Level != level {
		w.t.Fatalf("%s is asked for, not %s", need.Level, level)
	}
	must(w.t, w.db.Tx(w.t.Context(), need.Keep))
}
