package store

import (
	"bytes"
	"crypto/cipher"
	"database/sql"
	"errors"
	"io"
)

// ErrErased says that a person's data key is gone, and with it what it sealed.
var ErrErased = errors.New("store: the person's data was erased")

const personPrefix = "psn_"

// PersonID names a merchant's player without saying who he is.
func (db *DB) PersonID(merchantID, playerReference string) string {
	return personPrefix + db.Lookup("person/"+merchantID, playerReference)
}

// Persons' keys are read, wrapped, with what they open and are kept nowhere:
// unwrapping costs a microsecond, and a key that was never committed, or whose
// person has been erased by another process, is never used again.

const (
	keyOf     = `SELECT wrapped FROM person_keys WHERE person_id = ?`
	keyOfKept = keyOf + ` FOR KEY SHARE` // until the commit nobody erases whose payment is being created
)

// personKey finds a person's key for a new payment, and makes one for a new
// person.
func (tx *Tx) personKey(id string) (cipher.AEAD, error) {
	k := tx.db.keys
	raw := make([]byte, 32)
	if _, err := io.ReadFull(k.random, raw); err != nil {
		return nil, err
	}
	wrapped := k.seal(k.wrap, raw, place("person_keys", id, "wrapped"))
	// First, because it says in one whether he is new. It costs less than to ask.
	n, err := tx.Exec(`INSERT INTO person_keys (person_id, wrapped, created_at) VALUES (?, ?, ?) ON CONFLICT (person_id) DO NOTHING`,
		id, wrapped, tx.Now.UnixMicro())
	if err != nil {
		return nil, err
	}
	if n == 1 {
		return newDataKey(raw), nil
	}
	if _, postgres := tx.q.(pgQuerier); postgres {
		err = tx.Get(&wrapped, keyOfKept, id)
	} else {
		err = tx.Get(&wrapped, keyOf, id)
	}
	if errors.Is(err, sql.ErrNoRows) { // erased in between
		return nil, tx.fail(errChanged)
	}
	if err != nil {
		return nil, err
	}
	return k.unwrap(id, wrapped)
}

// unwrap opens a person's key; no wrapped key means that he was erased.
func (k *keyring) unwrap(id string, wrapped []byte) (cipher.AEAD, error) {
	if wrapped == nil {
		return nil, ErrErased
	}
	raw, err := k.unseal(k.wrap, wrapped, place("person_keys", id, "wrapped"))
	if err != nil {
		return nil, err
	}
	return newDataKey(raw), nil
}

// erased reports whether the key that sealed a row is gone.
func (k *keyring) erased(r row) bool {
	key, err := k.unwrap(r.PersonID, r.Wrapped)
	return errors.Is(err, ErrErased) || err == nil && key.(dataKey).other(r.Sealed)
}

// other reports whether a person's other key sealed a value.
func (d dataKey) other(sealed []byte) bool {
	n := 1 + len(d.id)
	return len(sealed) >= n && sealed[0] == sealKeyed && !bytes.Equal(sealed[1:n], d.id[:])
}
