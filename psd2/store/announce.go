package store

import (
	"github.com/rialto-hub/rialto/psd2"
)

// Announce writes an event that concerns no person and no payment, such as a
// bank's availability, to one merchant's journal. objectID is what it is about,
// as that merchant sees it: events of one object are told in order. It returns
// the event's id.
func (tx *Tx) Announce(merchantID, objectID, eventType string, data []byte) (id string, err error) {
	key, err := tx.personKey(merchantID) // a data key of the merchant's own
	if err != nil {
		return "", err
	}
	var last int64
	if err := tx.Get(&last, `SELECT COALESCE(MAX(sequence), 0) FROM journal WHERE object_id = ?`, objectID); err != nil {
		return "", err
	}
	id = psd2.NewID(psd2.PrefixEvent, tx.Now, tx.db.opt.Random)
	return id, tx.writeEvents(merchantID, []psd2.Event{{
		ID: id, Type: eventType, MerchantID: merchantID, ObjectID: objectID, Sequence: last + 1, CreatedAt: tx.Now, Data: data,
	}}, key)
}
