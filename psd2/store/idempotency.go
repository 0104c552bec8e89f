package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// keepKeys is how long an Idempotency-Key answers the same.
const keepKeys = 30 * 24 * time.Hour

// staleKey is after how long a key still in flight is taken over: its process
// must have died, because no call of ours takes that long.
const staleKey = 2 * time.Minute

// Answer is what an earlier request with the same key got.
type Answer struct {
	RequestHash string
	Status      int
	Body        []byte
	InFlight    bool
}

// keyHash is what a merchant's key is found by.
func (db *DB) keyHash(merchantID, key string) string {
	return db.Lookup("idempotency/"+merchantID, key)
}

// ReserveKey takes a merchant's Idempotency-Key for a request. It returns nil
// when the key is new (or was left in flight by a process that died), else
// what the earlier request got. Called in the transaction that does the work,
// key and work are committed together or not at all.
func (tx *Tx) ReserveKey(merchantID, key, requestHash string) (*Answer, error) {
	return tx.takeKey(merchantID, tx.db.keyHash(merchantID, key), requestHash, 0, nil)
}

// AnswerKey is ReserveKey and FinishKey in one, for a request whose answer is
// known before its work is done: by the same transaction, or not at all.
func (tx *Tx) AnswerKey(merchantID, key, requestHash string, status int, body []byte) (*Answer, error) {
	hash := tx.db.keyHash(merchantID, key)
	return tx.takeKey(merchantID, hash, requestHash, status, tx.db.SealShared("idempotency", merchantID+"/"+hash, "sealed", body))
}

// takeKey writes a key, unless it is taken: then it gives what it has answered.
// sealed is nil while it is in flight.
func (tx *Tx) takeKey(merchantID, hash, requestHash string, status int, sealed any) (*Answer, error) {
	n, err := tx.Exec(`INSERT INTO idempotency (merchant_id, key_hash, request_hash, status, created_at, sealed) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (merchant_id, key_hash) DO UPDATE SET created_at = excluded.created_at, status = excluded.status, sealed = excluded.sealed
		WHERE idempotency.status = 0 AND idempotency.created_at < ? AND idempotency.request_hash = excluded.request_hash`,
		merchantID, hash, requestHash, status, tx.Now.UnixMicro(), sealed, tx.Now.Add(-staleKey).UnixMicro())
	if err != nil || n == 1 {
		return nil, err
	}
	a, err := tx.earlierAnswer(merchantID, hash)
	if err == nil && a == nil {
		err = errChanged // given back in between
	}
	return a, err
}

// EarlierAnswer is what an earlier request with a merchant's key got, nil when
// there was none.
func (tx *Tx) EarlierAnswer(merchantID, key string) (*Answer, error) {
	return tx.earlierAnswer(merchantID, tx.db.keyHash(merchantID, key))
}

func (tx *Tx) earlierAnswer(merchantID, hash string) (*Answer, error) {
	var row struct {
		RequestHash string `db:"request_hash"`
		Status      int    `db:"status"`
		Sealed      []byte `db:"sealed"`
	}
	err := tx.Get(&row, `SELECT request_hash, status, sealed FROM idempotency WHERE merchant_id = ? AND key_hash = ?`, merchantID, hash)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a := &Answer{RequestHash: row.RequestHash, Status: row.Status, InFlight: row.Status == 0}
	if !a.InFlight {
		a.Body, err = tx.db.UnsealShared("idempotency", merchantID+"/"+hash, "sealed", row.Sealed)
	}
	return a, err
}

// ReleaseKey gives a key back that is still in flight: the request it was
// reserved for has no answer worth keeping, and the same one may be made again
// at once.
func (tx *Tx) ReleaseKey(merchantID, key, requestHash string) error {
	_, err := tx.Exec(`DELETE FROM idempotency WHERE merchant_id = ? AND key_hash = ? AND status = 0 AND request_hash = ?`,
		merchantID, tx.db.keyHash(merchantID, key), requestHash)
	return err
}

// ReleaseOrphans releases the keys still in flight whose requests came between
// two times, so long ago that nobody can be working on them, and counts them.
// Whoever goes on from the last time looks at each key once.
func (db *DB) ReleaseOrphans(ctx context.Context, from, until time.Time) (n int64, err error) {
	err = db.Tx(ctx, func(tx *Tx) (err error) {
		n, err = tx.Exec(`DELETE FROM idempotency WHERE status = 0 AND created_at >= ? AND created_at < ?`, from.UnixMicro(), until.UnixMicro())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("release orphaned keys: %w", err)
	}
	return n, nil
}

// FinishKey stores the answer that every repetition will get. It is a conflict
// for a process that has slept: the key was released or answered meanwhile, by
// whoever took it over, and that answer stays.
func (tx *Tx) FinishKey(merchantID, key, requestHash string, status int, body []byte) error {
	hash := tx.db.keyHash(merchantID, key)
	n, err := tx.Exec(`UPDATE idempotency SET status = ?, sealed = ? WHERE merchant_id = ? AND key_hash = ? AND status = 0 AND request_hash = ?`,
		status, tx.db.SealShared("idempotency", merchantID+"/"+hash, "sealed", body), merchantID, hash, requestHash)
	if err == nil && n == 0 {
		err = &psd2.Error{Code: psd2.CodeConflict, Reason: "idempotency_key_in_flight", RetryAfter: time.Second,
			Message: "this request took so long that its Idempotency-Key was given up; ask again"}
	}
	return err
}
