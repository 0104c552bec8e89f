package compliance

import (
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Sealed values are AES-256-GCM under their subject's key: nonce, ciphertext,
// tag. Table, row and column are additional data, so that a value moved
// elsewhere does not open. The key itself is sealed by the deployment's.

// keyFor finds a subject's key. With create, a new subject gets one; without,
// a missing key is store.ErrErased.
func (d *Desk) keyFor(tx *store.Tx, subject string, create bool) (cipher.AEAD, error) {
	key, err := d.openKey(tx.Get, subject)
	if !errors.Is(err, store.ErrErased) || !create {
		return key, err
	}
	raw := make([]byte, 32)
	if _, err := io.ReadFull(d.Random, raw); err != nil {
		return nil, fmt.Errorf("subject key: %w", err)
	}
	_, err = tx.Exec(`INSERT INTO compliance_keys (subject, wrapped, created_at) VALUES (?, ?, ?)`,
		subject, d.Store.SealShared("compliance_keys", subject, "wrapped", raw), tx.Now.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("subject key: %w", err)
	}
	return gcm(raw)
}

func (d *Desk) openKey(get getter, subject string) (cipher.AEAD, error) {
	var wrapped []byte
	err := get(&wrapped, `SELECT wrapped FROM compliance_keys WHERE subject = ?`, subject)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, store.ErrErased
	}
	if err != nil {
		return nil, fmt.Errorf("subject key: %w", err)
	}
	raw, err := d.Store.UnsealShared("compliance_keys", subject, "wrapped", wrapped)
	if err != nil {
		return nil, err
	}
	return gcm(raw)
}

func gcm(raw []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf("subject key: %w", err)
	}
	return cipher.NewGCM(b)
}

func place(table, row, column string) []byte { return []byte(table + "\x00" + row + "\x00" + column) }

// seal encrypts for one place under a subject's key, which it makes if need be.
func (d *Desk) seal(tx *store.Tx, subject, table, row, column string, plain []byte) ([]byte, error) {
	key, err := d.keyFor(tx, subject, true)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, key.NonceSize(), key.NonceSize()+len(plain)+key.Overhead())
	if _, err := io.ReadFull(d.Random, nonce); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return key.Seal(nonce, nonce, plain, place(table, row, column)), nil
}

// unseal opens what seal made for the same place; store.ErrErased when the
// subject's key is gone.
func (d *Desk) unseal(get getter, subject, table, row, column string, sealed []byte) ([]byte, error) {
	key, err := d.openKey(get, subject)
	if err != nil {
		return nil, err
	}
	if len(sealed) < key.NonceSize() {
		return nil, errors.New("compliance: a sealed value is damaged")
	}
	plain, err := key.Open(nil, sealed[:key.NonceSize()], sealed[key.NonceSize():], place(table, row, column))
	if err != nil {
		// A subject that came back after his erasure has another key: what the
		// old one sealed stays closed.
		return nil, store.ErrErased
	}
	return plain, nil
}
