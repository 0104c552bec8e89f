package store

import (
	"github.com/rialto-hub/rialto/psd2"
)

// Announce writes an event that concerns no person and no payment, such as a
// bank's availability, to one merchant's journal. objectID is what it is about,
// as that merchant sees it: events of one object are told in order.
func (tx *Tx) Announce(merchantID, objectID, eventType string, data []byte) error {
	key, err := tx.personKey(merchantID) // a data key of the merchant's own
	if err != nil {
		return err
	}
	var last int64
	if err := tx.Get(&last, `SELECT COALESCE(MAX(sequence), 0) FROM journal WHERE object_id = ?`, objectID); err != nil {
		return err
	}
	return tx.writeEvents(merchantID, []psd2.Event{{
		Type: eventType, MerchantID: merchantID, ObjectID: objectID, Sequence: last + 1, CreatedAt: tx.Now, Data: data,
	}}, key)
}
