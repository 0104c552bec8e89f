package hub

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// counting is a bank that counts the orders it gets.
type counting struct {
	banks.Bank
	orders int
}

func (c *counting) Initiate(context.Context, banks.Order) (banks.Initiation, error) {
	c.orders++
	return banks.Initiation{}, nil
}

// What is sent is what was committed with the intent, or nothing.
func TestOrderThatIsNotWhatWasCommittedIsNotSent(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	h := New(Config{PublicURL: "https://pay.example"}, Deps{Banks: banks.NewRegistry(nil, nil, clock), Now: clock, Random: rand.Reader})
	for name, change := range map[string]func(*psd2.Payment, *psd2.PSU){
		"":          nil,
		"amount":    func(p *psd2.Payment, _ *psd2.PSU) { p.Amount.AmountMinor *= 10 },
		"payee":     func(p *psd2.Payment, _ *psd2.PSU) { p.Personal.Payee.IBAN = "DE02120300000000202051" },
		"reference": func(p *psd2.Payment, _ *psd2.PSU) { p.Personal.Reference = "Deposit 2" },
		"debtor":    func(_ *psd2.Payment, psu *psd2.PSU) { psu.Account = "DE02120300000000202051" },
	} {
		p := &psd2.Payment{Amount: psd2.Euro(2500), ExpiresAt: now.Add(time.Minute), Personal: psd2.Personal{
			Reference: "Deposit 1", Payee: psd2.Party{Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000"}}}
		p.Create(now)
		a, psu, bank := psd2.Attempt{ID: psd2.NewID(psd2.PrefixAttempt, now, rand.Reader), State: psd2.AttemptSubmitting}, psd2.PSU{}, &counting{}
		if err := p.BeginAttempt(a, psu, now); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(p, &psu)
		}
		_, err := h.initiate(t.Context(), bank, p, a, psu)
		switch be := (*banks.Error)(nil); {
		case change == nil && (err != nil || bank.orders != 1):
			t.Errorf("as committed: sent %d times, %v", bank.orders, err)
		case change != nil && (!errors.As(err, &be) || be.Kind != banks.Unavailable || bank.orders != 0):
			t.Errorf("another %s: sent %d times, %v", name, bank.orders, err)
		}
	}
}
