package monitor

import (
	"fmt"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Identities are the keys by which a person is the same at every merchant, as
// his transactions named him: few, since they change only with his name or
// birth date. None when he cannot be told from others.
func (m *Monitor) Identities(tx *store.Tx, personID string) (keys []string, err error) {
	err = tx.Select(&keys, `SELECT DISTINCT person_key FROM monitor_transactions WHERE player_key = ? AND person_key <> player_key AND person_key <> ''`, personID)
	if err != nil {
		return nil, fmt.Errorf("monitor: identities: %w", err)
	}
	return keys, nil
}
