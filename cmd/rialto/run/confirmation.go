package run

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
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
	where, err := h.countries()
	if err != nil {
		return err
	}
	h.payers, err = sca.New(c, sca.Deps{
		Store: h.Store, Countries: where, Now: time.Now, Random: rand.Reader, Log: h.log,
		Signer:  func(now time.Time) (*jose.Key, error) { return h.Keys.Signer(jose.ES256, now) },
		Ping:    h.ping,
		Notices: disowned{h}, Monitoring: suspicions{h},
	})
	return err
}

// countries are those of the file that monitoring reads too, also where nobody is
// monitored; nil without one.
func (h *Hub) countries() (sca.Countries, error) {
	file := h.cfg.Compliance.Monitor.Sources.GeoIP
	if file == "" {
		return nil, nil
	}
	sources, err := rules.OpenSources(rules.SourcesConfig{GeoIP: file})
	if err != nil {
		return nil, err
	}
	h.onClose(sources.Close)
	return sources, nil
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
	key := ""
	if h.webPush != nil {
		key = h.webPush.PublicKey
	}
	return app.New(app.Deps{
		VAPIDKey: key, SCA: h.payers, Origin: origin, Provider: h.cfg.Pages.Provider, Edge: h.edge, Now: time.Now, Random: rand.Reader, Log: h.log,
		Bound:  func(r *http.Request, paymentID string) string { return consent.BoundSecret(r, paymentID) },
		Done:   func(paymentID string) string { return "/pay/" + paymentID },
		Nudged: h.bus.Nudged,
		MoreTime: func(ctx context.Context, paymentID string) error {
			_, err := h.hub.MoreTime(ctx, paymentID)
			if psd2.CodeOf(err) == psd2.CodeConflict {
				err = nil // it has ended meanwhile: the page says so
			}
			return err
		},
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
func (c confirmation) Need(ctx context.Context, a hub.Ask) (hub.Needed, error) {
	p := a.Payment
	facts := sca.PaymentFacts{
		PaymentID: p.ID, PersonID: p.PersonID, Amount: p.Amount, CreditorIBAN: p.Personal.Payee.IBAN, Approach: a.Approach,
		Merchant: levels[a.Merchant.SCA], DeviceSecret: a.Browser.DeviceSecret, DeviceProof: a.Browser.DeviceProof, Behaviour: a.Browser.Behaviour,
	}
	facts.Risk = sca.Risk{Score: a.Risk.Score, Reasons: a.Risk.Reasons, Quiet: a.Risk.Quiet}
	if a.StepUp {
		facts.Risk.Score = max(facts.Risk.Score, stepUpRisk)
		facts.Risk.Reasons = append(slices.Clone(facts.Risk.Reasons), "rule")
	}
	need, err := c.sca.Require(ctx, facts)
	if err != nil {
		return hub.Needed{}, err
	}
	goOn := hub.Needed{Keep: need.Keep, PerformedBy: need.PerformedBy, Exemptions: hints(need.Exemptions)}
	if need.Level == sca.None || need.Level == sca.Block {
		goOn.Blocked = need.Level == sca.Block
		return goOn, nil
	}
	err = c.store.Tx(ctx, func(tx *store.Tx) error { return c.sca.Confirmed(tx, p.ID, need.Decision, linked(p)) })
	if err == nil {
		return goOn, nil // he has confirmed exactly this
	}
	if psd2.CodeOf(err) != psd2.CodeConflict {
		return hub.Needed{}, err
	}
	shown := linked(p)
	shown.Shop = shop(a.Merchant)
	challenge, err := c.sca.Begin(ctx, sca.BeginRequest{
		PersonID: p.PersonID, Linked: shown, From: a.Browser.Address, Again: need.Elsewhere, Level: need.Level, Session: sca.SessionHash(a.Browser.Secret), Language: cmp.Or(a.Browser.Language, p.Locale, "en"),
		Delegated: need.PerformedBy == "delegated", Keep: need.Keep,
	})
	if err != nil {
		return hub.Needed{}, err
	}
	return hub.Needed{Path: "/sca/pay/" + p.ID + "/" + challenge.ID}, nil
}

// hints are the exemptions as an order carries them.
func hints(list []sca.Exemption) []string {
	var out []string
	for _, e := range list {
		out = append(out, string(e))
	}
	return out
}

// levels are what a merchant's own wish asks of each of his payers at least.
var levels = map[psd2.MerchantSCA]sca.Level{psd2.SCAByPolicy: "", psd2.SCAAlways: sca.Any, psd2.SCAStrong: sca.Strong}

// Recheck implements hub.Confirmation.
func (c confirmation) Recheck(tx *store.Tx, p *psd2.Payment) error {
	return c.sca.Recheck(tx, p.ID, linked(p))
}

// Voided implements hub.Confirmation.
func (c confirmation) Voided(ctx context.Context, paymentID string) error {
	return c.sca.Voided(ctx, paymentID)
}

// shop is how payers know a merchant, by what was registered of him alone: his
// website, else where he takes his payers back.
func shop(m *psd2.Merchant) sca.Shop {
	s := sca.Shop{Name: m.Name, Domain: m.Website}
	if s.Domain == "" && len(m.ReturnURIs) > 0 {
		if u, err := url.Parse(m.ReturnURIs[0]); err == nil {
			s.Domain = u.Hostname()
		}
	}
	if s.Domain == "" {
		return sca.Shop{}
	}
	return s
}

// linked is the order of a payment as its payer confirms it.
func linked(p *psd2.Payment) sca.Linked {
	return sca.Linked{
		PaymentID: p.ID, Amount: p.Amount, CreditorName: p.Personal.Payee.Name, CreditorIBAN: p.Personal.Payee.IBAN,
		DebtorRef: p.Personal.Reference,
	}
}
