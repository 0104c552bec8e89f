package rulebook

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Current is what a process judges by.
type Current struct {
	Revision  int64
	Set       *Set
	Catalogue *rules.Catalogue
	Shadow    *Set             // nil: none watches
	Watching  *rules.Catalogue // of Shadow
}

// Revision grows with every change of what is in force or in shadow.
func (b *Book) Revision(ctx context.Context) (int64, error) {
	var n int64
	if err := b.deps.Store.Get(ctx, &n, `SELECT revision FROM rulebook_head WHERE id = 1`); err != nil {
		return 0, fmt.Errorf("rulebook: %w", err)
	}
	return n, nil
}

// Current loads what is in force. A set that is not what was signed, or older
// than number atLeast, is an error: whoever judges goes on with what he has.
func (b *Book) Current(ctx context.Context, atLeast int64) (*Current, error) {
	set, h, err := b.inForce(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := b.verify(set); err != nil {
		return nil, err
	}
	if set.Number < atLeast {
		return nil, fmt.Errorf("rulebook: set number %d is older than number %d, which was in force", set.Number, atLeast)
	}
	c := &Current{Revision: h.Revision, Set: set}
	if c.Catalogue, err = parse([]byte(set.Catalogue)); err != nil {
		return nil, err
	}
	if h.Shadow == "" {
		return c, nil
	}
	if c.Shadow, err = get(b.getter(ctx), h.Shadow); err != nil {
		return nil, err
	}
	c.Watching, err = parse([]byte(c.Shadow.Catalogue))
	return c, err
}

// Replay judges a stored hit again with the very version of the rule that made
// it, however long ago that was in force, and gives the same hit or says why
// not.
func (b *Book) Replay(ctx context.Context, stored json.RawMessage) (rules.Hit, error) {
	var h rules.Hit
	if err := json.Unmarshal(stored, &h); err != nil {
		return h, fmt.Errorf("rulebook: replay: %w", err)
	}
	s, profile, err := b.setOf(ctx, h.Rule, h.Version)
	if err != nil {
		return rules.Hit{}, err
	}
	return replay(h, s.Catalogue, profile, b.deps.Lists, func(version string) (*score.Model, error) {
		if b.deps.Models == nil {
			return nil, errors.New("rulebook: replay: there are no models")
		}
		return b.deps.Models.Model(ctx, version)
	})
}

// setOf is the set that holds a version of a rule, and the profile in which it
// does.
func (b *Book) setOf(ctx context.Context, rule, version string) (s *Set, profile string, err error) {
	var in struct {
		Set     string `db:"set_id"`
		Profile string `db:"profile"`
	}
	err = b.deps.Store.Get(ctx, &in, `SELECT set_id, profile FROM rulebook_versions WHERE rule = ? AND version = ?`, rule, version)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, "", fmt.Errorf("rulebook: replay: rule %s was never published in version %s", rule, version)
	}
	if err != nil {
		return nil, "", fmt.Errorf("rulebook: replay: %w", err)
	}
	if s, err = get(b.getter(ctx), in.Set); err != nil {
		return nil, "", err
	}
	if hashOf([]byte(s.Catalogue)) != s.Hash {
		return nil, "", fmt.Errorf("rulebook: replay: set %s is not what was published", s.ID)
	}
	return s, in.Profile, nil
}

// replay judges a hit again by a catalogue.
func replay(h rules.Hit, catalogue, profile string, lists *rules.Lists, models func(version string) (*score.Model, error)) (rules.Hit, error) {
	c, err := parse([]byte(catalogue))
	if err != nil {
		return rules.Hit{}, err
	}
	engine, err := c.Compile(profile, lists)
	if err != nil {
		return rules.Hit{}, err
	}
	if h.Rule == rules.ModelRule {
		return replayModel(engine, h, models)
	}
	return engine.Replay(h)
}

// Same reports whether a hit that was judged again came out as it was.
func Same(stored, now rules.Hit) bool {
	return now.Grade == stored.Grade && now.Action == stored.Action && now.Severity == stored.Severity && now.Weight == stored.Weight
}

// Forget removes what shadow sets said of a transaction; the monitor's
// retention calls it.
func (b *Book) Forget(tx *store.Tx, transactionID string) error {
	_, err := tx.Exec(`DELETE FROM rulebook_verdicts WHERE transaction_id = ?`, transactionID)
	return err
}
