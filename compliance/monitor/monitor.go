package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Config is what an operator may change. Zero values are usable.
type Config struct {
	// Profile is the rule profile of merchants that have none of their own
	// (default online_de).
	Profile string `yaml:"profile"`
	// Merchants gives merchants another profile, by merchant id.
	Merchants map[string]string `yaml:"merchants"`
	// DepositsFailOpen lets deposits through while the gate cannot read its
	// state. Money out is always held then.
	DepositsFailOpen bool `yaml:"deposits_fail_open"`
	// DecideWithin is how long a transaction may be undecided before the
	// sweeper decides it (default one hour).
	DecideWithin time.Duration `yaml:"decide_within"`
	// Sources are the operator's own lists.
	Sources rules.SourcesConfig `yaml:"sources"`
	// Model is a file made by rialto train. It watches: its score stands beside
	// the rules' findings. It raises alerts of its own once officers have
	// published a rule set that names its version.
	Model string `yaml:"model_file"`
	// KeepYears is how long transactions and what was decided about them are
	// kept (default 5, GwG §8(4)).
	KeepYears int `yaml:"keep_years"`
}

// Alerts takes what the rules found, in the transaction that records the
// finding. A finding that comes twice has the same ID. compliance.Desk is one.
type Alerts interface {
	Raise(tx *store.Tx, f compliance.Finding) error
}

// Samples draws from what was allowed without a hit, so that officers see what
// the rules leave out. Which ones it takes depends on the finding's ID alone.
// compliance.Desk is one.
type Samples interface {
	RaiseSample(tx *store.Tx, f compliance.Finding) error
}

// Keeper says whose data have to stay though their time is over: a legal hold,
// or an open case.
type Keeper interface {
	Kept(tx *store.Tx, personID string) (bool, error)
}

// Audit notes what was removed. compliance.Desk is one.
type Audit interface {
	RecordIn(tx *store.Tx, actorKind, actor, action, object string, detail map[string]any) error
}

// Deps are the monitor's neighbours.
type Deps struct {
	Store     *store.DB
	Alerts    Alerts
	Samples   Samples          // nil: none are taken
	Book      *rulebook.Book   // what is in force and in shadow; nil: Catalogue, and nothing in shadow
	Catalogue *rules.Catalogue // nil: the one that ships
	Model     *score.Model     // nil: Config.Model, or none
	Keeper    Keeper           // nil: nothing is ever deleted
	Audit     Audit            // nil: deletions go to the log only
	Sources   *rules.Sources   // nil: opened from the Config
	Screened  Screened         // nil: nobody is screened, and the rules say so
	Limits    Limits           // nil: nobody has a monthly limit of his own
	Reports   Reports          // nil: rules know of no earlier report of suspicion
	Bus       *bus.Bus         // nil: only the clock wakes the monitor
	Holder    string           // names this process in leases
	Log       *slog.Logger
	Metrics   prometheus.Registerer // nil: none
}

const (
	leaseName = "compliance.monitor" // of lease and cursor
	leaseTTL  = 15 * time.Second
	batch     = 64 // events, and one commit; most transactions tell several
	idle      = time.Second
)

// Monitor is the journal's consumer. One process at a time leads; Step is for
// one goroutine.
type Monitor struct {
	cfg      Config
	deps     Deps
	sets     sets
	past     past
	derive   *deriver
	metrics  *metrics
	follower *bus.Follower
	led      bool
	swept    time.Time
	retained time.Time
	retried  time.Time // what was set aside
	measured time.Time // the model's drift
}

func (c *Config) withDefaults() {
	if c.Profile == "" {
		c.Profile = rules.ProfileOnlineDE
	}
	if c.DecideWithin <= 0 {
		c.DecideWithin = time.Hour
	}
	if c.KeepYears <= 0 {
		c.KeepYears = 5
	}
}

// New makes a monitor. A catalogue that does not compile, or a list that is
// named and cannot be read, is an error.
func New(c Config, d Deps) (*Monitor, error) {
	c.withDefaults()
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Sources == nil {
		var err error
		if d.Sources, err = rules.OpenSources(c.Sources); err != nil {
			return nil, err
		}
	}
	m := &Monitor{cfg: c, deps: d, metrics: newMetrics(d.Metrics), derive: &deriver{d.Store, d.Sources, d.Sources.Lists, d.Screened, d.Limits, d.Reports}}
	if err := m.openModel(c.Model); err != nil {
		return nil, err
	}
	m.sets = sets{cfg: c, book: d.Book, lists: d.Sources.Lists, model: m.deps.Model, models: Archive{d.Store}, refused: m.metrics.refused, log: d.Log, clock: d.Store.Now}
	if err := m.sets.open(d.Catalogue); err != nil {
		return nil, err
	}
	if d.Bus != nil {
		m.follower = d.Bus.Follow("compliance_monitor")
	}
	return m, nil
}

// Wake receives when there may be something to do; nil without a bus.
func (m *Monitor) Wake() <-chan struct{} {
	if m.follower == nil {
		return nil
	}
	return m.follower.Wake()
}

// Close stops listening for word of events; Step has ended before.
func (m *Monitor) Close() {
	if m.follower != nil {
		m.follower.Close()
	}
}

// Step judges the next events of the journal, then merchants' hours and what
// has been undecided for too long. It says when it wants to run again.
func (m *Monitor) Step(ctx context.Context, now time.Time) (time.Time, error) {
	m.attach(ctx, now)
	full, err := m.consume(ctx, now)
	m.led = err == nil && full != notLeading
	switch {
	case err != nil:
		return now.Add(idle), fmt.Errorf("monitor: %w", err)
	case full == more:
		return now, nil
	case full == done && !now.Before(m.swept.Add(10*time.Second)):
		again, err := m.sweep(ctx, now)
		if err != nil {
			return now.Add(idle), fmt.Errorf("monitor: %w", err)
		}
		if again {
			return now, nil
		}
		m.swept = now
	}
	if full == done {
		if err := m.housekeep(ctx, now); err != nil {
			return now.Add(idle), fmt.Errorf("monitor: %w", err)
		}
	}
	return now.Add(idle), nil
}

func (m *Monitor) attach(ctx context.Context, now time.Time) {
	switch {
	case m.follower == nil:
	case !m.led:
		m.follower.Close()
	default:
		if err := m.follower.Attach(ctx, now); err != nil {
			m.deps.Log.Warn("monitor: working without NATS", "cause", err.Error())
		}
	}
}

// How a batch ended.
const (
	done = iota
	more
	notLeading
)

// subject is a transaction as it stands, ready to be judged.
type subject struct {
	fact     *rules.Fact
	personID string
	scored   *score.Scored // nil without a model
}

// consume judges one batch of events. What they tell of is read as it stands
// now and judged outside the transaction; several events of one payment are
// one look, and one transaction stores it all.
func (m *Monitor) consume(ctx context.Context, now time.Time) (int, error) {
	cursor, state, err := m.cursors(ctx) // reads only: an idle system must not write
	if err != nil {
		return done, err
	}
	b, err := m.next(ctx, cursor, now)
	if err != nil || len(b.marks) == 0 {
		return done, err
	}
	subjects, err := m.read(ctx, b)
	if err != nil {
		return done, err
	}
	set, err := m.sets.current(ctx)
	if err != nil {
		return done, err
	}
	a, err := m.assess(ctx, set, state, subjects, false)
	if err != nil {
		return done, err
	}
	switch led, err := m.commit(ctx, b, a); {
	case errors.Is(err, errMoved):
		return more, nil
	case err != nil || !led:
		return notLeading, err
	}
	cursor = b.to
	if m.follower != nil {
		m.follower.Ack(cursor)
	}
	last, err := m.deps.Store.LastPosition(ctx)
	m.metrics.behind.Set(float64(last - cursor))
	if last > cursor {
		return more, err
	}
	return done, err
}

// events are what is judged at once: those of the journal from one position to
// another, or of those that were set aside.
type events struct {
	from, to int64
	marks    []store.Mark
	aside    bool         // they were
	damaged  []store.Mark // not to be read now
}

// next are the journal's next events, and now and then, when there are none,
// what was set aside.
func (m *Monitor) next(ctx context.Context, cursor int64, now time.Time) (b *events, err error) {
	b = &events{from: cursor, to: cursor}
	if b.marks, err = m.deps.Store.MarksFrom(ctx, cursor, batch); err != nil {
		return nil, err
	}
	if n := len(b.marks); n > 0 {
		b.to = b.marks[n-1].Position
	} else if !now.Before(m.retried.Add(time.Minute)) {
		m.retried, b.aside = now, true
		b.marks, err = m.deps.Store.AsideOf(ctx, leaseName, now)
	}
	return b, err
}

// read loads what events tell of, but for what is damaged.
func (m *Monitor) read(ctx context.Context, b *events) (subjects []subject, err error) {
	seen := map[string]bool{}
	for _, mark := range b.marks {
		if seen[mark.ObjectID] {
			continue
		}
		seen[mark.ObjectID] = true
		s, err := m.load(ctx, mark.ObjectID)
		switch {
		case errors.Is(err, store.ErrDamaged):
			b.damaged = append(b.damaged, mark)
		case err != nil:
			return nil, err
		case s.fact != nil:
			subjects = append(subjects, s)
		}
	}
	return subjects, nil
}

// putAside notes what could not be read, and takes back what could.
func (b *events) putAside(tx *store.Tx) error {
	if b.aside {
		for _, mark := range b.marks {
			if slices.Contains(b.damaged, mark) {
				continue
			}
			if _, err := tx.TakeBack(leaseName, mark); err != nil {
				return err
			}
		}
	}
	for _, mark := range b.damaged {
		if err := tx.SetAside(leaseName, mark); err != nil {
			return err
		}
	}
	return nil
}

// load makes the fact of an object of the journal; none for what is no
// transaction, or whose person has been erased.
func (m *Monitor) load(ctx context.Context, objectID string) (subject, error) {
	db := m.deps.Store
	switch {
	case psd2.IsID(psd2.PrefixPayment, objectID):
		p, err := db.Payment(ctx, objectID)
		if err != nil {
			return subject{}, gone(err)
		}
		merchant, err := db.Merchant(ctx, p.MerchantID)
		if err != nil && psd2.CodeOf(err) != psd2.CodeNotFound {
			return subject{}, err
		}
		if p.Personal.Player.Reference == "" {
			return subject{}, nil // his person was erased: what is remembered stays as it is
		}
		f := m.derive.payment(p, merchant)
		return subject{fact: f, personID: p.PersonID}, m.derive.stored(ctx, f, p.PersonID)
	case psd2.IsID(psd2.PrefixRefund, objectID), psd2.IsID(psd2.PrefixPayout, objectID):
		t, err := db.Transfer(ctx, objectID)
		if err != nil {
			return subject{}, gone(err)
		}
		return m.transfer(ctx, t)
	}
	return subject{}, nil
}

func (m *Monitor) transfer(ctx context.Context, t *psd2.Transfer) (subject, error) {
	if t.Personal.Player.Reference == "" {
		return subject{}, nil
	}
	merchant, err := m.deps.Store.Merchant(ctx, t.MerchantID)
	if err != nil && psd2.CodeOf(err) != psd2.CodeNotFound {
		return subject{}, err
	}
	var deposit *psd2.Payment // which the refund gives back, or which showed the payout's payee
	if t.PaymentID != "" {
		if deposit, err = m.deps.Store.Payment(ctx, t.PaymentID); err != nil {
			if deposit = nil; gone(err) != nil {
				return subject{}, err
			}
		}
	}
	f := m.derive.transfer(t, merchant, deposit)
	return subject{fact: f, personID: t.PersonID}, m.derive.stored(ctx, f, t.PersonID)
}

// gone makes nothing of an object that is no more: its person was erased.
func gone(err error) error {
	if errors.Is(err, store.ErrErased) || psd2.CodeOf(err) == psd2.CodeNotFound {
		return nil
	}
	return err
}

// commit stores what became of a batch and moves the cursor, all or nothing. It
// reports false, and does nothing, when another process leads.
func (m *Monitor) commit(ctx context.Context, b *events, a *assessment) (led bool, err error) {
	var counts tally
	err = m.deps.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		counts = tally{}
		// The lease locks its row until the commit, and whoever led meanwhile
		// has moved the cursor: two cannot judge the same batch.
		if _, led, err = tx.Lease(leaseName, m.deps.Holder, leaseTTL); err != nil || !led {
			return err
		}
		stored, err := tx.Cursor(leaseName)
		if err != nil {
			return err
		}
		if led = stored == b.from; !led {
			return nil
		}
		if err := m.write(tx, a, &counts); err != nil {
			return err
		}
		if err := b.putAside(tx); err != nil {
			return err
		}
		return tx.SetCursor(leaseName, b.to)
	})
	if err == nil {
		m.metrics.add(counts)
	}
	return led, err
}
