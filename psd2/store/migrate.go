package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema up to date: every file of migrations/ runs once, in
// the order of its number, each in a transaction of its own.
func (db *DB) Migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	var done []int64
	if db.Select(ctx, &done, `SELECT number FROM migrations`) == nil && len(done) == len(files) {
		return db.checkKey(ctx) // the role that serves need not be allowed to change the schema
	}
	if err := db.prepareSchema(ctx, `CREATE TABLE IF NOT EXISTS migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL)`); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, f := range files {
		if err := db.migrate(ctx, f); err != nil {
			return fmt.Errorf("migrate %s: %w", f, err)
		}
	}
	return db.checkKey(ctx)
}

func (db *DB) migrate(ctx context.Context, file string) error {
	text, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(file, "migrations/")
	number, err := strconv.ParseInt(name[:strings.IndexByte(name, '_')], 10, 64)
	if err != nil {
		return err
	}
	return db.Tx(ctx, func(tx *Tx) error {
		n, err := tx.Exec(`INSERT INTO migrations (number, name) VALUES (?, ?) ON CONFLICT (number) DO NOTHING`, number, name)
		if err != nil || n == 0 {
			return err
		}
		for _, stmt := range statements(string(text)) {
			if _, err := tx.Exec(stmt); err != nil {
				return err
			}
		}
		return nil
	})
}

// statements splits a script at the semicolons that end a line; our scripts
// hold no other kind, and no bodies.
func statements(script string) []string {
	var out []string
	for _, s := range strings.Split(script, ";\n") {
		if strings.TrimSpace(s) != "" {
			out = append(out, s)
		}
	}
	return out
}
