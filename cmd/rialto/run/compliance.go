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
		// Whoever keeps something of a person forgets it with him; both exist by then.
		Forget: []func(*store.Tx, string) error{
			func(tx *store.Tx, person string) error { return h.monitor.Forget(tx, person) },
			func(tx *store.Tx, person string) error { return h.screening.Forget(tx, person) },
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
		Store: h.Store, Keys: h.Keys, Audit: h.desk, Outcomes: h.desk, History: monitor.Archive{Store: h.Store}, Random: rand.Reader, Log: h.log,
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
	h.monitor, err = monitor.New(c.Monitor, monitor.Deps{
		Store: h.Store, Alerts: h.desk, Book: h.book, Screened: h.screening, Keeper: h.desk, Audit: h.desk,
		Bus: h.bus, Holder: h.id, Log: h.log, Metrics: h.registry,
	})
	if err != nil {
		return err
	}
	h.onClose(func() error { h.monitor.Close(); return nil })
	var authority limits.Authority
	if c.LimitService != nil {
		if authority, err = limits.NewClient(*c.LimitService, nil); err != nil {
			return err
		}
	}
	h.limits = limits.New(h.Store, authority)
	h.gate = &gate{monitor: h.monitor.Gate(), desk: h.desk, limits: h.limits, store: h.Store}
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

// gate is hub.Gate over the rules, the officers' holds and the monthly limit.
type gate struct {
	monitor *monitor.Gate
	desk    *compliance.Desk
	limits  *limits.Keeper
	store   *store.DB
}

// MayPayIn implements hub.Gate.
func (g *gate) MayPayIn(ctx context.Context, p *psd2.Payment, m *psd2.Merchant) (hub.PayIn, error) {
	v, err := g.monitor.Deposit(ctx, p, m)
	keep := func(tx *store.Tx) error { return g.monitor.Record(tx, v) }
	switch v.Action {
	case rules.Block:
		return hub.PayIn{Refuse: true, Reason: v.Reason, Keep: keep}, err
	case rules.StepUp:
		if kept := g.store.Tx(ctx, keep); kept != nil {
			err = errors.Join(err, kept)
		}
	}
	if m.Gambling && v.PersonKey() != "" { // GlüStV §6c: across merchants, for whoever can be told from others
		answer, limitErr := g.limits.Reserve(ctx, limits.Request{PaymentID: p.ID, PersonKey: v.PersonKey(), AmountMinor: p.Amount.AmountMinor})
		if limitErr != nil || !answer.Granted { // fail closed
			return hub.PayIn{Refuse: true, Reason: psd2.ReasonLimitExceeded}, errors.Join(err, limitErr)
		}
	}
	return hub.PayIn{StepUp: v.Action == rules.StepUp}, err
}

// MayPayOut implements hub.Gate. What an officer holds waits; what a rule holds
// waits for an officer; what cannot be judged waits.
func (g *gate) MayPayOut(ctx context.Context, f psd2.TransferFacts) (psd2.GateDecision, string, error) {
	held, released := true, false
	err := g.store.Tx(ctx, func(tx *store.Tx) (err error) {
		if held, err = g.desk.Held(tx, f.PersonID, f.ID); err != nil || held {
			return err
		}
		released, err = g.desk.Released(tx, f.ID)
		return err
	})
	switch {
	case err != nil || held:
		return psd2.GateHold, "", err
	case released:
		return psd2.GateAllow, "", nil
	}
	t, err := g.store.Transfer(ctx, f.ID)
	if err != nil {
		return psd2.GateHold, "", err
	}
	v, err := g.monitor.Transfer(ctx, t)
	switch {
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
