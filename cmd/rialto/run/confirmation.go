package run

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/consent"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
	"github.com/rialto-hub/rialto/sca/app"
)

// openSCA makes the payers' side of the hub's own authentication.
func (h *Hub) openSCA(context.Context) (err error) {
	c := h.cfg.SCA
	if c.Origin, err = h.passkeyOrigin(h.cfg.Hub.PublicURL); err != nil {
		return err
	}
	h.payers, err = sca.New(c, sca.Deps{
		Store: h.Store, Now: time.Now, Random: rand.Reader, Log: h.log,
		Signer: func(now time.Time) (*jose.Key, error) { return h.Keys.Signer(jose.ES256, now) },
		Ping:   func(_ context.Context, deviceID string) error { return h.bus.Nudge(deviceID) },
	})
	return err
}

// passkeyOrigin is the origin to which passkeys belong. They need a name: under
// a bare address, as in tests, none can be enrolled.
func (h *Hub) passkeyOrigin(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		h.log.Warn("the public URL is a bare address: passkeys need a name")
		return u.Scheme + "://localhost:" + cmp.Or(u.Port(), "443"), nil
	}
	return u.Scheme + "://" + u.Host, nil
}

func originOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + u.Host, nil
}

// confirmations are the payers' pages of sca/app, beside the hosted page.
func (h *Hub) confirmations() (*app.Room, error) {
	origin, err := originOf(h.cfg.Hub.PublicURL)
	if err != nil {
		return nil, err
	}
	return app.New(app.Deps{
		SCA: h.payers, Origin: origin, Provider: h.cfg.Pages.Provider, Edge: h.edge, Now: time.Now, Random: rand.Reader, Log: h.log,
		Bound:  func(r *http.Request, paymentID string) string { return consent.BoundSecret(r, paymentID) },
		Done:   func(paymentID string) string { return "/pay/" + paymentID },
		Nudged: h.bus.Nudged,
	})
}

// Risk that a rule's wish for more authentication stands for: enough for a
// strong factor, not for a passkey (sca/rules.yaml).
const stepUpRisk = 40

// confirmation is hub.Confirmation over package sca.
type confirmation struct {
	sca   *sca.Service
	store *store.DB
}

// Need implements hub.Confirmation.
func (c confirmation) Need(ctx context.Context, p *psd2.Payment, approach string, stepUp bool, b hub.Browser) (path string, blocked bool, err error) {
	facts := sca.PaymentFacts{
		PaymentID: p.ID, PersonID: p.PersonID, Amount: p.Amount, CreditorIBAN: p.Personal.Payee.IBAN, Approach: approach,
		DeviceSecret: b.DeviceSecret, DeviceProof: b.DeviceProof, Behaviour: b.Behaviour,
	}
	if stepUp {
		facts.Risk = sca.Risk{Score: stepUpRisk, Reasons: []string{"rule"}}
	}
	need, err := c.sca.Require(ctx, facts)
	switch {
	case err != nil:
		return "", false, err
	case need.Level == sca.Block:
		return "", true, nil
	case need.Level == sca.None:
		return "", false, nil
	}
	err = c.store.Tx(ctx, func(tx *store.Tx) error { return c.Recheck(tx, p) })
	if err == nil {
		return "", false, nil // he has confirmed exactly this
	}
	if psd2.CodeOf(err) != psd2.CodeConflict {
		return "", false, err
	}
	language := p.Locale
	if language == "" {
		language = "en"
	}
	challenge, err := c.sca.Begin(ctx, sca.BeginRequest{
		PersonID: p.PersonID, Linked: linked(p), Level: need.Level, Session: sca.SessionHash(b.Secret), Language: language,
		Delegated: need.PerformedBy == "delegated",
	})
	if err != nil {
		return "", false, err
	}
	return "/sca/pay/" + p.ID + "/" + challenge.ID, false, nil
}

// Recheck implements hub.Confirmation.
func (c confirmation) Recheck(tx *store.Tx, p *psd2.Payment) error {
	return c.sca.Recheck(tx, p.ID, linked(p))
}

// Voided implements hub.Confirmation.
func (c confirmation) Voided(ctx context.Context, paymentID string) error {
	return c.sca.Voided(ctx, paymentID)
}

// linked is what a payer confirms of a payment.
func linked(p *psd2.Payment) sca.Linked {
	return sca.Linked{
		PaymentID: p.ID, Amount: p.Amount, CreditorName: p.Personal.Payee.Name, CreditorIBAN: p.Personal.Payee.IBAN,
		DebtorRef: p.Personal.Reference,
	}
}
