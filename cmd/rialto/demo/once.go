package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/demo/casino"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2"
)

// StepTime is how long one step of a deposit took.
type StepTime struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
}

// Told is a webhook as the casino verified it.
type Told struct {
	Type    string `json:"type"`
	HMAC    bool   `json:"hmac_ok"`
	Ed25519 bool   `json:"ed25519_ok"`
	JWS     bool   `json:"jws_ok"`
}

// Report is one deposit from the casino's page to its books.
type Report struct {
	PaymentID string     `json:"payment_id"`
	Status    psd2.State `json:"status"`
	TotalMS   float64    `json:"total_ms"`
	Steps     []StepTime `json:"steps"`
	Webhooks  []Told     `json:"webhooks"`
}

// OK reports whether the deposit went as it should: settled, credited, every
// signature good.
func (r Report) OK() bool {
	credited := false
	for _, w := range r.Webhooks {
		if !w.HMAC || !w.Ed25519 || !w.JWS {
			return false
		}
		credited = credited || w.Type == psd2.EventCreditable
	}
	return r.Status == psd2.StateSettled && credited
}

// Once does one deposit without a browser: a program follows the same pages
// and forms a person would.
func (w *World) Once(ctx context.Context, step func(StepTime)) (r Report, err error) {
	const player, bank, user = "Anna Beispiel", "sandbank", "anna"
	began := time.Now()
	note := func(name string, took time.Duration) {
		s := StepTime{name, float64(took.Microseconds()) / 1000}
		r.Steps = append(r.Steps, s)
		if step != nil {
			step(s)
		}
	}
	client := payer.NewClient(nil)
	defer client.CloseIdleConnections()
	credentials, err := psu.Operator{Client: client, Origin: w.BankURL}.Persona(ctx, bank, user)
	if err != nil {
		return r, err
	}
	before := w.Casino.Balance(player)
	t := time.Now()
	payment, err := w.Casino.Deposit(ctx, player, 2500, "en")
	if err != nil {
		return r, err
	}
	r.PaymentID = payment.ID
	note("create payment", time.Since(t))
	person := payer.Payer{Client: client, Bank: bank, Credentials: credentials, Now: time.Now, Step: note}
	if _, err := person.Pay(ctx, payment.HostedPage.URL); err != nil {
		return r, err
	}
	t = time.Now()
	var told []casino.Webhook
	if told, err = w.Casino.Await(ctx, payment.ID, psd2.EventCreditable, psd2.EventFailed); err != nil {
		return r, fmt.Errorf("waiting for webhooks: %w", err)
	}
	note("webhooks", time.Since(t))
	r.TotalMS = float64(time.Since(began).Microseconds()) / 1000
	for _, x := range told {
		r.Webhooks = append(r.Webhooks, Told{x.Type, x.HMAC, x.Ed25519, x.JWS})
	}
	now, err := w.Hub.Store.Payment(ctx, payment.ID)
	if err != nil {
		return r, err
	}
	r.Status = now.State
	if r.OK() && w.Casino.Balance(player) != before+2500 {
		return r, fmt.Errorf("the player's balance did not rise")
	}
	return r, nil
}
