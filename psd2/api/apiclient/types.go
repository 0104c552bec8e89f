package apiclient

import (
	"encoding/json"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Deposit is the body of POST /v1/payments. See openapi.yaml for the rules.
type Deposit struct {
	Amount         psd2.Money        `json:"amount"`
	PayeeAccountID string            `json:"payee_account_id"`
	Reference      string            `json:"reference"` // 1 to 35 EPC characters
	Player         psd2.Player       `json:"player"`
	ReturnURI      string            `json:"return_uri"`
	State          string            `json:"state,omitempty"`
	BankID         string            `json:"bank_id,omitempty"`
	Locale         string            `json:"locale,omitempty"`
	DeviceID       string            `json:"device_id,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
}

// Payment is a deposit as the API tells it.
type Payment struct {
	psd2.PaymentView
	HostedPage struct {
		URL string `json:"url"` // after Create only
	} `json:"hosted_page"`
}

// PaymentList is a page of deposits, newest first.
type PaymentList struct {
	Data       []Payment `json:"data"`
	NextCursor string    `json:"next_cursor"` // "" on the last page
}

// Event is something that happened to a deposit.
type Event struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	CreatedAt time.Time       `json:"created_at"`
	Sequence  int64           `json:"sequence"`
	Data      json.RawMessage `json:"data"`
}

// EventList is a page of events in their order.
type EventList struct {
	Data    []Event `json:"data"`
	After   string  `json:"next_after"` // give it to the next Events
	HasMore bool    `json:"has_more"`
}
