package run

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/limits"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/screening"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
)

// openCompliance makes the officers' desk, the monitor that hands it alerts,
// and the gate that is asked before money moves.
func (h *Hub) openCompliance(ctx context.Context) (err error) {
	c := h.cfg.Compliance
	if c.Disabled {
		h.log.Warn("compliance is off: no transaction is monitored")
		return nil
	}
	h.desk, err = compliance.NewDesk(c.Desk, compliance.Deps{
		Store: h.Store, Keys: h.Keys, Now: time.Now, Random: rand.Reader, Log: h.log,
		Identities: func(tx *store.Tx, person string) ([]string, error) { return h.monitor.Identities(tx, person) },
		// Whoever keeps something of a person forgets it with him; all exist by then.
		Forget: []func(*store.Tx, string) error{
			func(tx *store.Tx, person string) error { return h.monitor.Forget(tx, person) },
			func(tx *store.Tx, person string) error { return h.screening.Forget(tx, person) },
			h.payers.Forget,
		},
		Elsewhere: map[string]func(context.Context, string) (any, error){
			"authentication": func(ctx context.Context, person string) (any, error) { return h.payers.PersonData(ctx, person) },
		},
	})
	if err != nil {
		return err
	}
	if strings.HasPrefix(h.cfg.Database.URL, "sqlite:") { // PostgreSQL: "rialto migrate --serving-role"
		if err = compliance.Protect(ctx, h.Store, ""); err != nil {
			return err
		}
	}
	h.book, err = rulebook.Open(ctx, c.Rulebook, rulebook.Deps{
		Store: h.Store, Keys: h.Keys, Audit: h.desk, Outcomes: h.desk, History: monitor.Archive{Store: h.Store}, Models: monitor.Archive{Store: h.Store}, Random: rand.Reader, Log: h.log,
	})
	if err != nil {
		return err
	}
	h.screening, err = screening.New(c.Screening, screening.Deps{
		Store: h.Store, Desk: h.desk, Holder: h.id, Random: rand.Reader, Log: h.log, Metrics: h.registry,
	})
	if err != nil {
		return err
	}
	var authority limits.Authority
	if c.LimitService != nil {
		if authority, err = limits.NewClient(*c.LimitService, nil); err != nil {
			return err
		}
	}
	h.limits = limits.New(h.Store, authority)
	h.monitor, err = monitor.New(c.Monitor, monitor.Deps{
		Store: h.Store, Alerts: h.desk, Samples: h.desk, Reports: h.desk, Book: h.book, Screened: h.screening, Limits: h.limits, Keeper: h.desk, Audit: h.desk,
		Bus: h.bus, Holder: h.id, Log: h.log, Metrics: h.registry,
	})
	if err != nil {
		return err
	}
	h.onClose(func() error { h.monitor.Close(); return nil })
	h.gate = &gate{monitor: h.monitor.Gate(), desk: h.desk, screening: h.screening, limits: h.limits, store: h.Store, began: h.Store.Now()}
	return nil
}

func (h *Hub) complianceWork() []worker {
	if h.monitor == nil {
		return nil
	}
	return []worker{
		{"monitor", h.monitor.Step, h.monitor.Wake()},
		{name: "desk", step: h.desk.Step},
		{name: "rulebook", step: h.book.Step},
		{name: "screening", step: h.screening.Step},
		{name: "limits", step: h.limits.Step},
		{name: "limits follow", step: h.limits.Follower(h.id).Step},
	}
}

// gate is hub.Gate over the rules, the officers' holds, the screening of who is
// new, and the monthly limit.
type gate struct {
	monitor   *monitor.Gate
	desk      *compliance.Desk
	screening *screening.Service
	limits    *limits.Keeper
	store     *store.DB
	began     time.Time
}

// MayPayIn implements hub.Gate. The limit service is asked first: what it tells
// of the person's limit is what the rules go by. Whatever it and screening say,
// the rules judge and what they find is kept.
func (g *gate) MayPayIn(ctx context.Context, p *psd2.Payment, m *psd2.Merchant) (hub.PayIn, error) {
	room, limitErr := g.reserve(ctx, p, m)
	unscreened := g.screening.Onboard(ctx, p)
	v, err := g.monitor.Deposit(ctx, p, m)
	err = errors.Join(err, limitErr, unscreened)
	keep := func(tx *store.Tx) error { return g.monitor.Record(tx, v) }
	var in hub.PayIn
	switch v.Action {
	case rules.Block:
		refused := hub.PayIn{Refuse: true, Reason: v.Reason, Keep: keep}
		if v.Reason == psd2.ReasonLimitExceeded && m.LowerToLimit && unscreened == nil {
			refused.LeftMinor = g.left(ctx, p, v, room)
		}
		return refused, err
	case rules.StepUp:
		in.StepUp, in.Keep = true, keep
	}
	in.Risk.Score, in.Risk.Reasons, in.Risk.Quiet = v.Risk()
	if m.Gambling {
		in.Recheck = func(tx *store.Tx) error {
			err := g.limits.Hold(tx, p.ID, p.Amount.AmountMinor)
			if psd2.CodeOf(err) == psd2.CodeConflict { // another tab gave the room back
				return psd2.Fail(psd2.CodeConflict, "not_yet", "the payment cannot be started yet; try again")
			}
			return err
		}
	}
	switch {
	case errors.Is(limitErr, limits.ErrLowered): // he may go on with what it is now
		in.Wait = true
	case limitErr != nil: // fail closed; it is no limit that he has exceeded
		in.Refuse, in.Reason = true, psd2.ReasonPaymentNotPossible
	case !room.Granted:
		in.Refuse, in.Reason, in.LeftMinor = true, psd2.ReasonLimitExceeded, room.LeftMinor
	case unscreened != nil && g.screening.Unscreened() != screening.Allow:
		in.Wait = g.screening.Unscreened() == screening.Wait
		in.Refuse, in.Reason = !in.Wait, psd2.ReasonPaymentNotPossible
	}
	return in, err
}

// reserve takes room of the person's month (GlüStV §6c): across merchants, for
// whoever can be told from others; a player without a name and birth date has
// his limit with his merchant.
func (g *gate) reserve(ctx context.Context, p *psd2.Payment, m *psd2.Merchant) (limits.Answer, error) {
	if !m.Gambling {
		return limits.Answer{Granted: true}, nil
	}
	return g.limits.Reserve(ctx, limits.Request{PaymentID: p.ID, PersonKey: g.limited(p), AmountMinor: p.Amount.AmountMinor})
}

// limited names who has the limit.
func (g *gate) limited(p *psd2.Payment) string {
	if known := g.identities(p.Personal.Player); len(known) > 0 {
		return known[0]
	}
	return p.PersonID
}

// left is what the person could still pay this month: the least that the rules'
// count and the limits' leave; 0 when one of them does not know.
func (g *gate) left(ctx context.Context, p *psd2.Payment, v monitor.Verdict, room limits.Answer) int64 {
	if room.Granted { // the rules alone refuse: the room goes back
		again, err := g.limits.Withdraw(ctx, p.ID)
		if err != nil || !again {
			return 0
		}
		if room.LeftMinor, err = g.limits.Left(ctx, g.limited(p)); err != nil {
			return 0
		}
	}
	return min(v.LeftMinor(), room.LeftMinor)
}

// identities are what makes a player the same at every merchant.
func (g *gate) identities(p psd2.Player) []string {
	identity, known := rules.Identity(p.Name, p.DateOfBirth)
	if !known {
		return nil
	}
	return []string{g.store.Lookup(rules.IdentityLookup, identity)}
}

// judgedWithin is how long a transfer waits at most for the monitor to take in
// what happened before it, until it is held as one that cannot be judged: time
// enough for another process to take over (15 s), also after a start.
const judgedWithin = 40 * time.Second

// MayPayOut implements hub.Gate. What an officer holds waits; what a rule holds
// waits for two officers, who let it go or refuse it; what cannot be judged waits.
func (g *gate) MayPayOut(ctx context.Context, f psd2.TransferFacts) (psd2.GateDecision, string, error) {
	t, err := g.store.Transfer(ctx, f.ID)
	if err != nil {
		return psd2.GateHold, "", err
	}
	standing := compliance.StandingHeld
	err = g.store.Tx(ctx, func(tx *store.Tx) (err error) {
		standing, err = g.desk.Standing(tx, f.PersonID, f.ID, g.identities(t.Personal.Player)...)
		return err
	})
	switch {
	case err != nil || standing == compliance.StandingHeld:
		return psd2.GateHold, "", err
	case standing == compliance.StandingRefused:
		return psd2.GateRefuse, "", nil
	}
	if err := g.screening.OnboardPayee(ctx, t); err != nil {
		return psd2.GateHold, "", err
	}
	if standing == compliance.StandingReleased {
		return psd2.GateReleased, "", nil
	}
	v, err := g.monitor.Transfer(ctx, t)
	now := g.store.Now()
	switch {
	case errors.Is(err, monitor.ErrBehind) && min(now.Sub(t.CreatedAt), now.Sub(g.began)) < judgedWithin:
		return psd2.GateWait, "", nil
	case err != nil:
		return psd2.GateHold, "", err
	case v.Action == rules.Block:
		return psd2.GateRefuse, string(v.Reason), g.store.Tx(ctx, func(tx *store.Tx) error { return g.monitor.Record(tx, v) })
	case v.Action == rules.Hold || v.Action == rules.StepUp:
		return psd2.GateHold, "", g.store.Tx(ctx, func(tx *store.Tx) error {
			if err := g.monitor.Record(tx, v); err != nil {
				return err
			}
			return g.desk.HoldObject(tx, f.PersonID, f.ID, v.FirstRule())
		})
	}
	return psd2.GateAllow, "", nil
}
