package store_test

import (
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
)

// TestChecksCompareInPlace: a row is written without a table being filled for its
// checks.
func TestChecksCompareInPlace(t *testing.T) {
	w := newWorld(t, "sqlite", nil)
	db := w.open(t)
	raw := sqlx.NewDb(w.raw(t), "sqlite").Unsafe() // of what EXPLAIN says one column is enough
	var tables []string
	if err := db.Select(ctx, &tables, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`); err != nil {
		t.Fatal(err)
	}
	if len(tables) < 40 {
		t.Fatalf("only %d tables: %v", len(tables), tables)
	}
	for _, table := range tables {
		var steps []struct {
			Opcode string `db:"opcode"`
		}
		if err := raw.Select(&steps, `EXPLAIN INSERT INTO `+table+` DEFAULT VALUES`); err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if strings.HasPrefix(s.Opcode, "OpenEphemeral") {
				t.Errorf("%s: writing a row opens a table for it alone", table)
			}
		}
	}
}

// TestChecksHold: what a check does not list is refused.
func TestChecksHold(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		db := w.open(t)
		created(t, db, "mrc_1", "player")
		raw := w.raw(t)
		if _, err := raw.Exec(`UPDATE payments SET state = 'lost'`); err == nil {
			t.Error("a payment has a state that there is not")
		}
		if _, err := raw.Exec(`UPDATE payments SET state = 'outcome_unknown'`); err != nil {
			t.Error(err)
		}
	})
}
