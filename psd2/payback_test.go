package psd2

import "testing"

// TestStatementFillsTheSourceAndMixesNothing: the payer's bank and the
// statement may name different accounts. What was known stays, whole.
func TestStatementFillsTheSourceAndMixesNothing(t *testing.T) {
	own := Party{Name: "Erika Mustermann", IBAN: "DE02120300000000202051"}
	other := Party{Name: "Erika M", IBAN: "DE75512108001245126199"}
	for name, c := range map[string]struct{ told, entry, want Party }{
		"nothing known":                   {Party{}, own, own},
		"account known":                   {Party{IBAN: own.IBAN}, own, own},
		"same account":                    {own, Party{Name: "MUSTERMANN", IBAN: own.IBAN}, own},
		"another account":                 {own, other, own},
		"another account, holder unknown": {Party{IBAN: own.IBAN}, other, Party{IBAN: own.IBAN}},
	} {
		p := testPayment(PayerRequired)
		begin(t, p, "a", 0, t0)
		p.Report("a", Report{Status: "ACSC", Payer: c.told}, t0)
		p.Credited("a", c.entry, t0)
		if p.State != StateSettled || p.Personal.Source != c.want {
			t.Errorf("%s: %s from %+v", name, p.State, p.Personal.Source)
		}
	}
}

// TestReturnedDepositIsNotCredited: the money is gone before anybody knew
// whose it was.
func TestReturnedDepositIsNotCredited(t *testing.T) {
	p := testPayment(PayerRequired)
	begin(t, p, "a", 0, t0)
	p.Report("a", Report{Status: "ACSC"}, t0)
	p.SentBack("FOCR", t0)
	p.SentBack("FOCR", t0)
	p.Credited("a", Party{Name: "Erika Mustermann", IBAN: "DE02120300000000202051"}, t0)
	p.JudgePayer(func(IBAN) string { return "src" }, func(a, b string) bool { return true }, t0)
	if p.CreditableAt != nil {
		t.Fatal("creditable, and sent back")
	}
	if err := p.Refundable(Euro(1), 0); err == nil {
		t.Fatal("refundable, and sent back")
	}
}
