package bus

import (
	"errors"
	"strings"

	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	eventsStream     = "EVENTS"
	eventsPrefix     = "rialto.events."
	deliveriesPrefix = "rialto.deliveries."
)

var errToken = errors.New("bus: this cannot be a subject token")

// isToken reports whether s may stand between two dots of a subject: no
// wildcard, no dot, no space, nothing that JSON would escape.
func isToken(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// eventSubject is where word of an event is published.
func eventSubject(m store.Mark) (string, error) {
	kind := strings.ReplaceAll(m.Type, ".", "_")
	if !isToken(m.MerchantID) || !isToken(kind) || !isToken(m.ObjectID) || !isToken(m.ID) {
		return "", errToken
	}
	return eventsPrefix + m.MerchantID + "." + kind + "." + m.ObjectID, nil
}
