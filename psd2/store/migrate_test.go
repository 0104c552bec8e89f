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

// TestNoticesMoveOverWithTheirTable: nobody is told twice of what was told before,
// nor not at all of what was not.
func TestNoticesMoveOverWithTheirTable(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		db := w.open(t)
		raw := w.raw(t)
		for _, before := range []string{
			`DELETE FROM migrations WHERE number = 24`,
			`DROP TABLE notices`,
			`CREATE TABLE webhook_notices (id TEXT PRIMARY KEY, merchant_id TEXT, endpoint_id TEXT, sequence BIGINT, type TEXT, reason TEXT, percent BIGINT,
				failing_since BIGINT, created_at BIGINT, mailed_at BIGINT, UNIQUE (endpoint_id, sequence))`,
			`INSERT INTO webhook_notices VALUES ('evt_1', 'mer_1', 'whe_1', 1, 'webhook_endpoint.failing', '', 50, 7, 8, 9)`,
			`INSERT INTO webhook_notices VALUES ('evt_2', 'mer_1', 'whe_1', 2, 'webhook_endpoint.changed', 'url,keys', 0, NULL, 10, NULL)`,
		} {
			if _, err := raw.Exec(before); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		var told, untold string
		if err := db.Get(ctx, &told, `SELECT id FROM notices WHERE object_id = 'whe_1' AND mailed_at = 9 AND failing_since = 7 AND percent = 50`); err != nil || told != "evt_1" {
			t.Error(told, err)
		}
		if err := db.Get(ctx, &untold, `SELECT id FROM notices WHERE mailed_at IS NULL AND reason = 'url,keys' AND failing_since IS NULL`); err != nil || untold != "evt_2" {
			t.Error(untold, err)
		}
	})
}
