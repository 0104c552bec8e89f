package monitor

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
)

// Reports says about whom a report of suspicion was filed before a moment.
// compliance.Desk is one.
type Reports interface {
	Reported(ctx context.Context, before time.Time) (personIDs []string, err error)
}

// reportedBatch bounds the persons one query asks for.
const reportedBatch = 500

// reported puts a fact's account on the internal list when an earlier report of
// suspicion was about its person, wherever he plays, or about somebody who has
// used the account. Nothing says why it is on the list (GwG §47).
func (d *deriver) reported(ctx context.Context, f *rules.Fact, personID string) error {
	if d.reports == nil || f.MuleListed != nil && *f.MuleListed {
		return nil
	}
	persons, err := d.reports.Reported(ctx, f.At)
	if err != nil {
		return err
	}
	listed := personID != "" && slices.Contains(persons, personID)
	for some := range slices.Chunk(persons, reportedBatch) {
		if listed {
			break
		}
		if listed, err = d.used(ctx, f, some); err != nil {
			return err
		}
	}
	if listed {
		f.MuleListed = &listed
	}
	return nil
}

// used reports whether one of these persons is the fact's own at another
// merchant, or has used its account.
func (d *deriver) used(ctx context.Context, f *rules.Fact, persons []string) (bool, error) {
	args := []any{f.IBAN, f.Person}
	for _, p := range persons {
		args = append(args, p)
	}
	var n int
	err := d.store.Get(ctx, &n, `SELECT COUNT(*) FROM (SELECT 1 FROM monitor_transactions WHERE (iban_key = ? AND iban_key <> '' OR person_key = ?)
		AND player_key IN (?`+strings.Repeat(`,?`, len(persons)-1)+`) LIMIT 1) AS theirs`, args...)
	return n > 0, err
}
