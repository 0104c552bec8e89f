package screening

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"
	_ "time/tzdata" // days are Berlin's wherever the hub runs

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/names"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Config is what an operator decides. Zero values are usable; without Lists
// nobody is screened, and rule R27 says no_data.
type Config struct {
	// Lists is the directory with the sanctions lists; see names.LoadDir.
	Lists string `yaml:"lists"`
	// PEP is a directory with lists of politically exposed persons.
	PEP string `yaml:"pep"`
	// Threshold is the score from which a sanctions hit is an alert (default
	// names.ScreenThreshold), PEPThreshold the same for PEP hits (default 0.72).
	Threshold    float64 `yaml:"threshold"`
	PEPThreshold float64 `yaml:"pep_threshold"`
	// DailyAt is when the daily run begins, counted from midnight in
	// Europe/Berlin (default 3 hours). A day that was missed is made up for at
	// once.
	DailyAt time.Duration `yaml:"daily_at"`
	// Unscreened is what happens to a deposit of somebody who has a name and could
	// not be screened yet, because no lists are loaded: "wait" (the default; the
	// payer is asked to try again), "refuse" or "allow". Money out always waits.
	Unscreened string `yaml:"unscreened_deposits"`
	// ReloadEvery is how often the directories are looked at (default one
	// minute).
	ReloadEvery time.Duration `yaml:"reload_every"`
}

// What Config.Unscreened may be.
const (
	Wait   = "wait"
	Refuse = "refuse"
	Allow  = "allow"
)

// Desk takes what screening finds. compliance.Desk is one.
type Desk interface {
	Raise(tx *store.Tx, f compliance.Finding) error
	Whitelisted(tx *store.Tx, personID, entryID string) (bool, error)
	RecordRunIn(tx *store.Tx, r compliance.Run) (string, error)
}

// Deps are the neighbours.
type Deps struct {
	Store   *store.DB
	Desk    Desk
	Holder  string    // names this process in leases
	Random  io.Reader // nil: crypto/rand
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

const (
	leaseName = "compliance.screening" // of lease and cursor
	leaseTTL  = 30 * time.Second
	idle      = time.Second
	batch     = 64 // persons, or events, of one commit
)

// Service screens. One process at a time works; Step is for one goroutine,
// Onboard and Screened are safe for concurrent use.
type Service struct {
	cfg     Config
	deps    Deps
	zone    *time.Location
	shelf   shelf
	metrics *metrics
	walk    *store.Walk[*person]
}

// New makes the service. It reads no list yet: a directory that cannot be read
// shows in Step, so that the hub starts and the officers see it.
func New(c Config, d Deps) (*Service, error) {
	if d.Store == nil || d.Desk == nil {
		return nil, errors.New("screening: store and desk are needed")
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Random == nil {
		d.Random = rand.Reader
	}
	c.setDefaults()
	if c.DailyAt < 0 || c.DailyAt >= 24*time.Hour {
		return nil, errors.New("screening: daily_at must lie within a day")
	}
	if !slices.Contains([]string{Wait, Refuse, Allow}, c.Unscreened) {
		return nil, fmt.Errorf("screening: unscreened_deposits must be %s, %s or %s", Wait, Refuse, Allow)
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return nil, fmt.Errorf("screening: %w", err)
	}
	s := &Service{cfg: c, deps: d, zone: zone, metrics: newMetrics(d.Metrics)}
	s.walk = s.newWalk()
	s.shelf.open(c)
	return s, nil
}

func (c *Config) setDefaults() {
	if c.Threshold == 0 {
		c.Threshold = names.ScreenThreshold
	}
	if c.PEPThreshold == 0 {
		c.PEPThreshold = 0.72
	}
	if c.DailyAt == 0 {
		c.DailyAt = 3 * time.Hour
	}
	if c.Unscreened == "" {
		c.Unscreened = Wait
	}
	if c.ReloadEvery == 0 {
		c.ReloadEvery = time.Minute
	}
}

// Unscreened is what the operator wants for deposits of whom Onboard could not
// screen: Wait, Refuse or Allow.
func (s *Service) Unscreened() string { return s.cfg.Unscreened }

// Step looks for changed lists, takes in who is new, and goes on with the run
// that is due; a bounded piece of each. It says when it wants to run again. An
// error about the lists does not keep it from knowing who is new.
func (s *Service) Step(ctx context.Context, now time.Time) (next time.Time, err error) {
	next = now.Add(idle)
	listErr := s.shelf.refresh(now)
	s.metrics.lists(listErr)
	again, err := s.walk.Step(ctx, now)
	if err != nil {
		return next, wrap(err)
	}
	moreNew := !again.After(now)
	books := s.shelf.books()
	if books == nil {
		return next, wrap(errors.Join(listErr, s.measure(ctx, now)))
	}
	morePending, err := s.onboard(ctx, books)
	if err != nil {
		return next, wrap(err)
	}
	moreRun, err := s.work(ctx, now, books)
	if err != nil {
		return next, wrap(err)
	}
	if moreNew || morePending || moreRun {
		return now, nil
	}
	return next, wrap(errors.Join(listErr, s.measure(ctx, now)))
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("screening: %w", err)
}

// lead runs fn in a transaction that holds the lease; false means that another
// process has it, and nothing was done.
func (s *Service) lead(ctx context.Context, fn func(*store.Tx) error) (led bool, err error) {
	err = s.deps.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if _, led, err = tx.Lease(leaseName, s.deps.Holder, leaseTTL); err != nil || !led {
			return err
		}
		return fn(tx)
	})
	return led && err == nil, err
}

// nothing only takes the lease.
func nothing(*store.Tx) error { return nil }
