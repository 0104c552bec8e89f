package compliance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Config is what a deployment decides about its desk.
type Config struct {
	// Land is the federal state whose holidays count for the waiting period:
	// "BW" … "TH". Default "BE".
	Land string `yaml:"land"`
	// KeepYears is how long a subject's data is kept after his last case
	// (GwG §8(4): five years, deleted after ten at the latest). Default 5.
	KeepYears int `yaml:"keep_years"`
	// RevealsPerHour is how many masked fields an officer may open in an hour
	// before reporting officers are told. At three times that he is stopped.
	// Default 20.
	RevealsPerHour int `yaml:"reveals_per_hour"`
	// CheckpointEvery is the longest that rows of the audit chain stay without
	// a signed checkpoint. Default one minute.
	CheckpointEvery time.Duration `yaml:"checkpoint_every"`
	// SampleEvery takes one of so many decisions below the line into the queue,
	// so that officers see what the rules leave out. Default 1000; negative: none.
	SampleEvery int `yaml:"sample_every"`
	// MonthlyLimitMinor is drawn in the player's timeline, in cents. Default
	// 100000 (GlüStV §6c(1)).
	MonthlyLimitMinor int64 `yaml:"monthly_limit_minor"`
}

// Deps is what the desk needs from others.
type Deps struct {
	Store  *store.DB
	Keys   *jose.KeySet // signs checkpoints and run reports; ES256
	Now    func() time.Time
	Random io.Reader
	Log    *slog.Logger
	// Forget removes, in the transaction of a person's erasure, what others keep
	// of him.
	Forget []func(tx *store.Tx, personID string) error
	// Elsewhere is what others keep of a person, for whoever asks what is known of
	// him, by the name it has there. Nothing in it may come from the desk.
	Elsewhere map[string]func(ctx context.Context, personID string) (any, error)
	// Identities are keyed hashes of what makes a person the same at every
	// merchant. What holds him holds all who share one. Nil: nobody is linked.
	Identities func(tx *store.Tx, personID string) ([]string, error)
}

// Desk is where officers, the rules and the system meet. It is safe for
// concurrent use.
type Desk struct {
	Config
	Deps
	zone     *time.Location
	calendar Calendar

	walking sync.Mutex
	walked  string // how far retention has gone through the persons
}

// NewDesk makes a desk. It fails on a Land that does not exist.
func NewDesk(c Config, d Deps) (*Desk, error) {
	if d.Store == nil || d.Keys == nil {
		return nil, errors.New("compliance: store and keys are needed")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Random == nil {
		d.Random = rand.Reader
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	c.setDefaults()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return nil, fmt.Errorf("compliance: %w", err)
	}
	calendar, err := NewCalendar(c.Land)
	if err != nil {
		return nil, err
	}
	return &Desk{Config: c, Deps: d, zone: zone, calendar: calendar}, nil
}

func (c *Config) setDefaults() {
	if c.Land == "" {
		c.Land = "BE"
	}
	if c.KeepYears == 0 {
		c.KeepYears = 5
	}
	if c.RevealsPerHour == 0 {
		c.RevealsPerHour = 20
	}
	if c.CheckpointEvery == 0 {
		c.CheckpointEvery = time.Minute
	}
	if c.SampleEvery == 0 {
		c.SampleEvery = 1000
	}
	if c.MonthlyLimitMinor == 0 {
		c.MonthlyLimitMinor = 100000
	}
}

// tx runs fn with the end of the chain locked: everything that is written at
// the desk leaves a row there, so one order of locks serves all.
func (d *Desk) tx(ctx context.Context, fn func(*store.Tx) error) error {
	return d.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := lockChain(tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// get reads outside a transaction.
func (d *Desk) get(ctx context.Context) getter {
	return func(dst any, query string, args ...any) error { return d.Store.Get(ctx, dst, query, args...) }
}

// Step wakes what has rested long enough, signs the chain, and erases whose
// time of keeping is over; a bounded piece of each.
func (d *Desk) Step(ctx context.Context, now time.Time) (next time.Time, err error) {
	next = now.Add(d.CheckpointEvery)
	woken, err := d.wake(ctx, now)
	if err != nil {
		return next, fmt.Errorf("wake cases: %w", err)
	}
	erased, err := d.retain(ctx, now)
	if err != nil {
		return next, fmt.Errorf("retention: %w", err)
	}
	if err := d.retainPersons(ctx, now); err != nil {
		return next, fmt.Errorf("retention: %w", err)
	}
	if err := d.checkpoint(ctx, now); err != nil {
		return next, fmt.Errorf("checkpoint: %w", err)
	}
	if woken == stepBatch || erased == stepBatch {
		return now, nil
	}
	return next, nil
}

// stepBatch bounds what one Step does of each kind.
const stepBatch = 100

func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return b, nil
}
