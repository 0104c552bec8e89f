package rulebook

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rialto-hub/rialto/compliance/rules"
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
	var in struct {
		Set     string `db:"set_id"`
		Profile string `db:"profile"`
	}
	err := b.deps.Store.Get(ctx, &in, `SELECT set_id, profile FROM rulebook_versions WHERE rule = ? AND version = ?`, h.Rule, h.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return rules.Hit{}, fmt.Errorf("rulebook: replay: rule %s was never published in version %s", h.Rule, h.Version)
	}
	if err != nil {
		return rules.Hit{}, fmt.Errorf("rulebook: replay: %w", err)
	}
	s, err := get(b.getter(ctx), in.Set)
	if err != nil {
		return rules.Hit{}, err
	}
	if hashOf([]byte(s.Catalogue)) != s.Hash {
		return rules.Hit{}, fmt.Errorf("rulebook: replay: set %s is not what was published", s.ID)
	}
	c, err := parse([]byte(s.Catalogue))
	if err != nil {
		return rules.Hit{}, err
	}
	engine, err := c.Compile(in.Profile, b.deps.Lists)
	if err != nil {
		return rules.Hit{}, err
	}
	return engine.Replay(h)
}

// Forget removes what shadow sets said of a transaction; the monitor's
// retention calls it.
func (b *Book) Forget(tx *store.Tx, transactionID string) error {
	_, err := tx.Exec(`DELETE FROM rulebook_verdicts WHERE transaction_id = ?`, transactionID)
	return err
}
