package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
)

// maxTries bounds how often a transaction that lost a race is run again.
const maxTries = 20

type postgresEngine struct {
	pool    *sqlx.DB
	commits atomic.Uint64
}

func openPostgres(ctx context.Context, c Config) (engine, error) {
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
	return &postgresEngine{pool: pool}, nil
}

func (e *postgresEngine) committed() uint64 { return e.commits.Load() }
func (e *postgresEngine) close() error      { return e.pool.Close() }

func (e *postgresEngine) get(ctx context.Context, dst any, query string, args []any) error {
	return e.pool.GetContext(ctx, dst, rebind(query), args...)
}

func (e *postgresEngine) sel(ctx context.Context, dst any, query string, args []any) error {
	return e.pool.SelectContext(ctx, dst, rebind(query), args...)
}

// schemaLock is an advisory lock of ours: two processes that create the same
// table at once do not get along, even with IF NOT EXISTS.
const schemaLock = 0x7269616c746f

func (e *postgresEngine) prepareSchema(ctx context.Context, create string) error {
	return e.tx(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(`SELECT pg_advisory_xact_lock(?)`, schemaLock); err != nil {
			return err
		}
		_, err := tx.Exec(create)
		return err
	})
}

// tx runs fn again when it lost a race, and then locks the rows it is going to
// change, so that however many callers meet at one row, each gets his turn.
func (e *postgresEngine) tx(ctx context.Context, fn func(*Tx) error) error {
	lock := false
	for try := 1; ; try++ {
		err := e.once(ctx, fn, lock)
		if err == nil || !lostRace(err) || try == maxTries || ctx.Err() != nil {
			return err
		}
		lock = true
		wait := time.NewTimer(time.Duration(rand.Int64N(int64(try))) * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}

func (e *postgresEngine) once(ctx context.Context, fn func(*Tx) error, lock bool) error {
	conn, err := e.pool.Connx(ctx)
	if err != nil {
		return fmt.Errorf("store: connect: %w", err)
	}
	defer conn.Close() // only gives it back
	// A caller who goes away may stop a statement, never the commit: it would
	// be open whether it happened.
	ptx, err := conn.BeginTxx(context.WithoutCancel(ctx), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	if err := run(fn, &Tx{q: pgQuerier{ptx}, ctx: ctx, lock: lock}); err != nil {
		_ = ptx.Rollback() // the first error is the one that counts
		return err
	}
	e.commits.Add(1)
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
