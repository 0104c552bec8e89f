package run

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// putMerchants brings the configured merchants into the database.
func (h *Hub) putMerchants(ctx context.Context) error {
	for _, m := range h.cfg.Merchants {
		keys, err := os.ReadFile(m.KeysFile)
		if err != nil {
			return fmt.Errorf("merchant %s: keys_file: %w", m.ID, err)
		}
		m.Merchant.Keys = keys
		if err := PutMerchant(ctx, h.Store, &m.Merchant); err != nil {
			return err
		}
		for _, e := range m.Webhooks {
			e.MerchantID = m.ID
			if _, err := h.Webhooks.Configure(ctx, e); err != nil {
				return fmt.Errorf("merchant %s: webhook: %w", m.ID, err)
			}
		}
	}
	return nil
}

// PutMerchant checks a merchant and his keys and stores him. Where they are those
// that he was last stored with, as at each start, what he has replaced since stays
// so. Others take the place of all he has; but none that he has replaced comes
// back like that, it may have been stolen: the operator hears of it instead.
func PutMerchant(ctx context.Context, db *store.DB, m *psd2.Merchant) error {
	if err := configs.CheckMerchant(m); err != nil {
		return fmt.Errorf("merchant %s: %w", m.ID, err)
	}
	set, err := jose.ParseJWKS(m.Keys)
	if err != nil {
		return fmt.Errorf("merchant %s: keys: %w", m.ID, err)
	}
	given := m.Keys
	err = db.Tx(ctx, func(tx *store.Tx) error {
		m.Keys, m.KeyHistory = given, psd2.KeyHistory{Registered: registered(set)}
		err := tx.UpdateMerchant(m.ID, func(known *psd2.Merchant) error {
			if err := keepReplaced(m, known, set); err != nil {
				return err
			}
			*known = *m
			return nil
		})
		if psd2.CodeOf(err) == psd2.CodeNotFound {
			return tx.PutMerchant(m)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("merchant %s: %w", m.ID, err)
	}
	return nil
}

// registered names a set of keys, however it is written.
func registered(set *jose.PublicKeySet) (keys []string) {
	for _, k := range set.Keys() {
		keys = append(keys, k.ID()+" "+k.Thumbprint())
	}
	return keys
}

// keepReplaced holds the keys that a merchant is to have, the set, against what
// has become of those he had.
func keepReplaced(m, known *psd2.Merchant, set *jose.PublicKeySet) error {
	if slices.Equal(known.KeyHistory.Registered, m.KeyHistory.Registered) {
		m.Keys, m.KeyHistory = known.Keys, known.KeyHistory
		return nil
	}
	retired := slices.Clone(known.KeyHistory.Retired)
	if len(known.KeyHistory.Ends) > 0 {
		had, err := jose.ParseJWKS(known.Keys)
		if err != nil {
			return fmt.Errorf("registered keys: %w", err)
		}
		for kid := range known.KeyHistory.Ends {
			if k, ok := had.Key(kid); ok {
				retired = append(retired, k.Thumbprint())
			}
		}
	}
	for _, k := range set.Keys() {
		if slices.Contains(retired, k.Thumbprint()) {
			return fmt.Errorf("keys: the merchant has replaced %s; take it out, and ask him for the key that took its place", k.ID())
		}
	}
	m.KeyHistory.Retired = retired
	return nil
}
