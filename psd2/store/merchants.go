package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// merchantFresh is how long a merchant read from the database is believed.
const merchantFresh = 5 * time.Second

type cachedMerchant struct {
	m    *psd2.Merchant
	read time.Time
}

// PutMerchant stores a merchant, new or changed. Other processes see it within
// five seconds.
func (tx *Tx) PutMerchant(m *psd2.Merchant) error {
	doc, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode merchant: %w", err)
	}
	_, err = tx.Exec(`INSERT INTO merchants (id, sealed, updated_at) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at`,
		m.ID, tx.db.SealShared("merchants", m.ID, "sealed", doc), tx.Now.UnixMicro())
	if err != nil {
		return fmt.Errorf("put merchant: %w", err)
	}
	tx.merchants = append(tx.merchants, m.ID)
	return nil
}

// UpdateMerchant changes a merchant as he stands in the database, one change after
// the other: fn sees what others have committed.
func (tx *Tx) UpdateMerchant(id string, fn func(*psd2.Merchant) error) error {
	n, err := tx.Exec(`UPDATE merchants SET updated_at = updated_at WHERE id = ?`, id) // locks the row
	if err != nil {
		return fmt.Errorf("update merchant: %w", err)
	}
	if n == 0 {
		return psd2.NotFound("merchant")
	}
	var sealed []byte
	if err := tx.Get(&sealed, `SELECT sealed FROM merchants WHERE id = ?`, id); err != nil {
		return fmt.Errorf("update merchant: %w", err)
	}
	m, err := tx.db.decodeMerchant(id, sealed)
	if err != nil {
		return err
	}
	if err := fn(m); err != nil {
		return err
	}
	return tx.PutMerchant(m)
}

// forgetMerchants makes a committed change seen at once in this process.
func (db *DB) forgetMerchants(ids []string) {
	if len(ids) == 0 {
		return
	}
	db.merchantsMu.Lock()
	defer db.merchantsMu.Unlock()
	db.merchantsChanged++
	for _, id := range ids {
		delete(db.merchants, id)
	}
}

// Merchant loads a merchant; what it returns is shared and must not be changed.
func (db *DB) Merchant(ctx context.Context, id string) (*psd2.Merchant, error) {
	now := db.opt.Now()
	db.merchantsMu.Lock()
	c, ok := db.merchants[id]
	changed := db.merchantsChanged
	db.merchantsMu.Unlock()
	if ok && now.Sub(c.read) < merchantFresh && !now.Before(c.read) {
		return c.m, nil
	}
	var sealed []byte
	err := db.Get(ctx, &sealed, `SELECT sealed FROM merchants WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound("merchant")
	}
	if err != nil {
		return nil, fmt.Errorf("load merchant: %w", err)
	}
	m, err := db.decodeMerchant(id, sealed)
	if err != nil {
		return nil, err
	}
	db.merchantsMu.Lock()
	defer db.merchantsMu.Unlock()
	if db.merchantsChanged == changed { // else what we read may be old
		db.merchants[id] = cachedMerchant{m, now}
	}
	return m, nil
}

func (db *DB) decodeMerchant(id string, sealed []byte) (*psd2.Merchant, error) {
	doc, err := db.UnsealShared("merchants", id, "sealed", sealed)
	if err != nil {
		return nil, err
	}
	m := new(psd2.Merchant)
	if err := json.Unmarshal(doc, m); err != nil {
		return nil, fmt.Errorf("decode merchant: %w", err)
	}
	return m, nil
}

// Merchants lists all merchants by id.
func (db *DB) Merchants(ctx context.Context) ([]*psd2.Merchant, error) {
	var rows []struct {
		ID     string `db:"id"`
		Sealed []byte `db:"sealed"`
	}
	if err := db.Select(ctx, &rows, `SELECT id, sealed FROM merchants ORDER BY id`); err != nil {
		return nil, fmt.Errorf("list merchants: %w", err)
	}
	out := make([]*psd2.Merchant, 0, len(rows))
	for _, r := range rows {
		m, err := db.decodeMerchant(r.ID, r.Sealed)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}
