package store

import (
	"crypto/cipher"
	"database/sql"
	"errors"
	"io"
)

// ErrErased says that a person's data key is gone, and with it what it sealed.
var ErrErased = errors.New("store: the person's data was erased")

// PersonID names a merchant's player without saying who he is.
func (db *DB) PersonID(merchantID, playerReference string) string {
	return "psn_" + db.Lookup("person/"+merchantID, playerReference)
}

// Persons' keys are read, wrapped, with what they open and are kept nowhere:
// unwrapping costs a microsecond, and a key that was never committed, or whose
// person has been erased by another process, is never used again.

// personKey finds a person's key for a new payment, and makes one for a new
// person.
func (tx *Tx) personKey(id string) (cipher.AEAD, error) {
	k := tx.db.keys
	var wrapped []byte
	err := tx.Get(&wrapped, `SELECT wrapped FROM person_keys WHERE person_id = ?`, id)
	if err == nil {
		return k.unwrap(id, wrapped)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	raw := make([]byte, 32)
	if _, err := io.ReadFull(k.random, raw); err != nil {
		return nil, err
	}
	wrapped = k.seal(k.wrap, raw, place("person_keys", id, "wrapped"))
	n, err := tx.Exec(`INSERT INTO person_keys (person_id, wrapped, created_at) VALUES (?, ?, ?) ON CONFLICT (person_id) DO NOTHING`,
		id, wrapped, tx.Now.UnixMicro())
	if err != nil {
		return nil, err
	}
	if n == 0 { // another process was faster
		return nil, tx.fail(errChanged)
	}
	return gcm(raw), nil
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
	return gcm(raw), nil
}
