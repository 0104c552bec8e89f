package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
)

// maxTries bounds how often a transaction that lost a race is run again.
const maxTries = 20

type postgresEngine struct {
	pool *sqlx.DB
}

func openPostgres(ctx context.Context, c Config, o Options) (engine, error) {
	cfg, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, errors.New("store: database.url is not a PostgreSQL URL") // the cause may hold the password
	}
	if c.MaxConns == 0 {
		c.MaxConns = 16
	}
	pool := sqlx.NewDb(stdlib.OpenDB(*cfg), "pgx")
	pool.SetMaxOpenConns(c.MaxConns)
	pool.SetMaxIdleConns(c.MaxConns)
	if err := pool.PingContext(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("store: connect to PostgreSQL: %w", err)
	}
	return &postgresEngine{pool}, nil
}

func (e *postgresEngine) reader() *sqlx.DB { return e.pool }
func (e *postgresEngine) close() error     { return e.pool.Close() }

func (e *postgresEngine) script(ctx context.Context, text string) error {
	_, err := e.pool.ExecContext(ctx, text)
	return err
}

func (e *postgresEngine) isDuplicate(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == "23505"
}

func (e *postgresEngine) tx(ctx context.Context, fn func(*Tx) error) error {
	for try := 1; ; try++ {
		err := e.once(ctx, fn)
		if err == nil || !lostRace(err) || try == maxTries || ctx.Err() != nil {
			return err
		}
		wait := time.NewTimer(time.Duration(rand.Int64N(int64(try))) * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}

func (e *postgresEngine) once(ctx context.Context, fn func(*Tx) error) error {
	ptx, err := e.pool.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	if err := guard(fn, &Tx{q: pgQuerier{ptx}, ctx: ctx}); err != nil {
		_ = ptx.Rollback() // the first error is the one that counts
		return err
	}
	if err := ptx.Commit(); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	return nil
}

// lostRace reports a transaction that did nothing and would succeed if run
// again: a failed compare-and-swap, a serialisation failure, a deadlock.
func lostRace(err error) bool {
	var pe *pgconn.PgError
	return errors.Is(err, errChanged) || errors.As(err, &pe) && (pe.Code == "40001" || pe.Code == "40P01")
}

type pgQuerier struct{ tx *sqlx.Tx }

func (q pgQuerier) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	return q.tx.ExecContext(ctx, rebind(query), args...)
}

func (q pgQuerier) get(ctx context.Context, dst any, query string, args []any) error {
	return q.tx.GetContext(ctx, dst, rebind(query), args...)
}

func (q pgQuerier) sel(ctx context.Context, dst any, query string, args []any) error {
	return q.tx.SelectContext(ctx, dst, rebind(query), args...)
}

func rebind(query string) string { return sqlx.Rebind(sqlx.DOLLAR, query) }
