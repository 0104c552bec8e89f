package verify

import (
	"encoding/json"
	"time"

	strictjson "github.com/go-jose/go-jose/v4/json" // refuses duplicate keys and is case-sensitive
)

// Event is a verified webhook.
type Event struct {
	// ID is the event's id, the same on every retry and in the events API.
	// Handle each id once.
	ID string
	// Type is for example "payment.creditable". Ignore types you don't know.
	Type string
	// CreatedAt is when it happened, not when it was sent.
	CreatedAt time.Time
	// Sequence counts the events of one payment from 1. A gap means that one
	// is still on its way.
	Sequence int64
	// Data is the event's object as sent.
	Data json.RawMessage
}

// parseEvent reads the body of a delivery whose signature has been verified.
func parseEvent(id string, body []byte) (*Event, error) {
	var wire struct {
		ID        string                `json:"id"`
		Type      string                `json:"type"`
		CreatedAt string                `json:"created_at"`
		Sequence  int64                 `json:"sequence"`
		Data      strictjson.RawMessage `json:"data"`
	}
	if err := strictjson.Unmarshal(body, &wire); err != nil {
		return nil, &Error{Reason: ReasonBody, Message: "the signature is good, but the body is not an event's JSON"}
	}
	createdAt, err := time.Parse(time.RFC3339, wire.CreatedAt)
	if err != nil || wire.Type == "" || wire.ID == "" {
		return nil, refuse(ReasonBody, "the signature is good, but id, type or created_at is missing or malformed")
	}
	if wire.ID != id {
		return nil, refuse(ReasonBody, "the signature is good, but the body's id is not the webhook-id")
	}
	return &Event{
		ID: wire.ID, Type: wire.Type, CreatedAt: createdAt.UTC(), Sequence: wire.Sequence, Data: json.RawMessage(wire.Data),
	}, nil
}
