package rulebook

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Config is what an operator decides. Zero values are usable.
type Config struct {
	// ShadowFor is how long a set must have been in shadow before it may be
	// published (default 24 hours; negative: no time at all, for a sandbox).
	ShadowFor time.Duration `yaml:"shadow_for"`
	// Profile is what backtests judge by unless they say otherwise (default
	// online_de).
	Profile string `yaml:"profile"`
	// MaxTransactions bounds a backtest (default 100,000).
	MaxTransactions int `yaml:"max_transactions"`
}

// Audit is the officers' chain. compliance.Desk is one.
type Audit interface {
	// RecordIn notes something in the transaction in which it happens.
	RecordIn(tx *store.Tx, actorKind, actor, action, object string, detail map[string]any) error
}

// History gives stored transactions in order of time. monitor.Archive is one.
type History interface {
	Facts(ctx context.Context, from, until time.Time, limit int) ([]*rules.Fact, error)
}

// Outcomes says how officers decided about transactions: false_positive,
// no_suspicion, sar; nothing for those they have not decided about.
type Outcomes interface {
	OutcomesOf(ctx context.Context, transactionIDs []string) (map[string]string, error)
}

// Deps are the neighbours.
type Deps struct {
	Store    *store.DB
	Keys     *jose.KeySet // ES256 signs
	Audit    Audit
	History  History      // nil: there is nothing to backtest on
	Outcomes Outcomes     // nil: none is known
	Models   Models       // nil: no model may act
	Lists    *rules.Lists // nil: those that ship
	Random   io.Reader    // nil: crypto/rand
	Log      *slog.Logger
}

// Book holds all rule sets. It is safe for concurrent use.
type Book struct {
	cfg  Config
	deps Deps
}

// Open makes the book and sees to it that a set is in force: the one that
// ships, unless officers have published their own.
func Open(ctx context.Context, c Config, d Deps) (*Book, error) {
	if d.Store == nil || d.Keys == nil || d.Audit == nil {
		return nil, errors.New("rulebook: store, keys and audit are needed")
	}
	if d.Random == nil {
		d.Random = rand.Reader
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if c.ShadowFor == 0 {
		c.ShadowFor = 24 * time.Hour
	}
	if c.Profile == "" {
		c.Profile = rules.ProfileOnlineDE
	}
	if c.MaxTransactions == 0 {
		c.MaxTransactions = 100_000
	}
	b := &Book{c, d}
	if err := b.ship(ctx); err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	return b, nil
}

// ship publishes the release's catalogue, once, if nothing or an earlier
// release's is in force.
func (b *Book) ship(ctx context.Context) error {
	text := rules.ShippedText()
	catalogue, err := parse(text)
	if err != nil {
		return err
	}
	var known int
	if err := b.deps.Store.Get(ctx, &known, `SELECT COUNT(*) FROM rulebook_sets WHERE origin = 'shipped' AND hash = ?`, hashOf(text)); err != nil || known > 0 {
		return err
	}
	s := &Set{}
	return b.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		head, err := lockHead(tx)
		if err != nil {
			return err
		}
		if err := tx.Get(&known, `SELECT COUNT(*) FROM rulebook_sets WHERE origin = 'shipped' AND hash = ?`, hashOf(text)); err != nil || known > 0 {
			return err
		}
		*s = *b.fresh(tx, text, head.Published, "the catalogue of this release")
		s.Origin, s.DraftedBy, s.DraftedName = OriginShipped, releaser.ID, releaser.Name
		if err := insert(tx, s, ""); err != nil {
			return err
		}
		if head.Published != "" {
			if old, err := get(tx.Get, head.Published); err != nil || old.Origin == OriginOfficer {
				return err // there to be drafted from
			}
		}
		if err := b.enact(tx, s, catalogue, head, releaser); err != nil {
			return err
		}
		return b.deps.Audit.RecordIn(tx, compliance.ActorSystem, releaser.ID, "rules.published", s.ID, map[string]any{"number": s.Number, "sha256": s.Hash, "origin": OriginShipped})
	})
}

// releaser stands for the release in the records of the set it brings.
var releaser = compliance.Officer{ID: "rialto", Name: "rialto"}

// Step signs the set in force with the key of today while the one that signed
// it still verifies, so that keys can rotate. It says when it wants to run
// again.
func (b *Book) Step(ctx context.Context, now time.Time) (time.Time, error) {
	next := now.Add(10 * time.Minute)
	head, err := readHead(b.getter(ctx))
	if err != nil || head.Published == "" {
		return next, err
	}
	s, err := get(b.getter(ctx), head.Published)
	if err != nil {
		return next, err
	}
	key, err := b.deps.Keys.Signer(jose.ES256, now)
	if err != nil {
		return next, fmt.Errorf("rulebook: %w", err)
	}
	by, err := b.verify(s)
	if err != nil || by == key.ID() {
		return next, err
	}
	jws, err := jose.SignDetached(key, []byte(s.Manifest), now)
	if err != nil {
		return next, fmt.Errorf("rulebook: %w", err)
	}
	return next, b.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE rulebook_sets SET jws = ?, signed_at = ? WHERE id = ? AND jws = ?`, jws, now.UnixMicro(), s.ID, s.JWS)
		return err
	})
}

type getter func(dst any, query string, args ...any) error

func (b *Book) getter(ctx context.Context) getter {
	return func(dst any, query string, args ...any) error { return b.deps.Store.Get(ctx, dst, query, args...) }
}
