package psd2

import (
	"encoding/json"
	"fmt"
	"time"
)

// Types of events. Those in MerchantEvents are told to merchants by webhook;
// the others are the payment's own story, read by API and operators.
const (
	EventCreated         = "payment.created"
	EventAttemptStarted  = "payment.attempt_started"
	EventAttemptFailed   = "payment.attempt_failed"
	EventAmountLowered   = "payment.amount_lowered"
	EventAuthorized      = "payment.authorized"
	EventExecuted        = "payment.executed"
	EventCreditable      = "payment.creditable"
	EventSettled         = "payment.settled"
	EventFailed          = "payment.failed"
	EventOutcomeUnknown  = "payment.outcome_unknown"
	EventPayerChecked    = "payment.payer_checked"
	EventPayerMismatched = "payment.payer_mismatched"
	EventRecallRequested = "payment.recall_requested"
	EventReturned        = "payment.returned"
	EventWebhookTest     = "webhook.test"

	EventBankAvailability = "bank.availability_changed"

	EventRefundCreated        = "refund.created"
	EventRefundAuthorized     = "refund.authorized"
	EventRefundExecuted       = "refund.executed"
	EventRefundFailed         = "refund.failed"
	EventRefundOutcomeUnknown = "refund.outcome_unknown"
	EventRefundReturned       = "refund.returned"
	EventRefundRecalled       = "refund.recalled"
	EventRefundRecallRefused  = "refund.recall_refused"

	EventPayoutCreated        = "payout.created"
	EventPayoutAuthorized     = "payout.authorized"
	EventPayoutExecuted       = "payout.executed"
	EventPayoutFailed         = "payout.failed"
	EventPayoutOutcomeUnknown = "payout.outcome_unknown"
	EventPayoutReturned       = "payout.returned"
	EventPayoutRecalled       = "payout.recalled"
	EventPayoutRecallRefused  = "payout.recall_refused"

	EventEndpointFailing  = "webhook_endpoint.failing"
	EventEndpointDisabled = "webhook_endpoint.disabled"
	EventEndpointChanged  = "webhook_endpoint.changed"

	EventSigningKeyReplaced = "signing_key.replaced"
)

// MerchantEvents are the types that are delivered to webhook endpoints.
var MerchantEvents = []string{
	EventAttemptFailed, EventAmountLowered, EventAuthorized, EventExecuted, EventCreditable, EventPayerMismatched,
	EventSettled, EventFailed, EventOutcomeUnknown, EventRecallRequested, EventReturned,
	EventRefundExecuted, EventRefundFailed, EventRefundOutcomeUnknown, EventRefundReturned, EventRefundRecallRefused,
	EventPayoutExecuted, EventPayoutFailed, EventPayoutOutcomeUnknown, EventPayoutReturned, EventPayoutRecallRefused,
	EventWebhookTest,
	EventEndpointFailing, EventEndpointDisabled, EventEndpointChanged, EventSigningKeyReplaced, EventBankAvailability,
}

// Timestamp is a time as our API writes it: RFC 3339, UTC, milliseconds.
type Timestamp time.Time

// MarshalJSON implements json.Marshaler.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Timestamp) UnmarshalJSON(b []byte) error { return (*time.Time)(t).UnmarshalJSON(b) }

func stamp(t *time.Time) *Timestamp {
	if t == nil {
		return nil
	}
	s := Timestamp(*t)
	return &s
}

// PaymentView is a payment as merchants see it, in answers and in events. The
// paying account is masked, and nothing here says what compliance thinks.
type PaymentView struct {
	ID             string            `json:"id"`
	Status         State             `json:"status"`
	Amount         Money             `json:"amount"`
	Requested      *Money            `json:"requested_amount,omitempty"` // what the merchant asked for, when the payer pays less
	PayeeAccountID string            `json:"payee_account_id"`
	Reference      string            `json:"reference"`
	Player         PlayerView        `json:"player"`
	ReturnURI      string            `json:"return_uri"`
	BankID         string            `json:"bank_id,omitempty"`
	Locale         string            `json:"locale,omitempty"`
	CreatedAt      Timestamp         `json:"created_at"`
	ExpiresAt      Timestamp         `json:"expires_at"`
	AuthorizedAt   *Timestamp        `json:"authorized_at,omitempty"`
	ExecutedAt     *Timestamp        `json:"executed_at,omitempty"`
	SettledAt      *Timestamp        `json:"settled_at,omitempty"`
	CreditableAt   *Timestamp        `json:"creditable_at"`              // null until the merchant may credit
	CancelAsked    bool              `json:"cancel_requested,omitempty"` // the bank has yet to decide
	FailedAt       *Timestamp        `json:"failed_at,omitempty"`
	FailureStage   State             `json:"failure_stage,omitempty"`
	FailureReason  FailureReason     `json:"failure_reason,omitempty"`
	BankCode       string            `json:"bank_code,omitempty"`
	PayerCheck     PayerCheck        `json:"payer_check"`
	PaymentSource  *SourceView       `json:"payment_source,omitempty"`
	Refunded       *Money            `json:"refunded,omitempty"` // all refunds that have not failed
	ReturnedAt     *Timestamp        `json:"returned_at,omitempty"`
	ReturnCode     string            `json:"return_code,omitempty"`
	RecallAt       *Timestamp        `json:"recall_requested_at,omitempty"`
	RecallCode     string            `json:"recall_code,omitempty"`
	Attempts       []AttemptView     `json:"attempts"`
	Metadata       map[string]string `json:"metadata,omitempty"`
}

// PlayerView names the player as the merchant does, by his own reference only.
type PlayerView struct {
	Reference string `json:"reference"`
}

// SourceView is the account the money came from.
type SourceView struct {
	ID         string `json:"id"`
	IBANMasked string `json:"iban_masked,omitempty"`
	HolderName string `json:"holder_name,omitempty"`
}

// AttemptView is one try at one bank.
type AttemptView struct {
	ID            string        `json:"id"`
	BankID        string        `json:"bank_id"`
	Status        AttemptState  `json:"status"`
	EndToEndID    string        `json:"end_to_end_id"`
	StartedAt     Timestamp     `json:"started_at"`
	EndedAt       *Timestamp    `json:"ended_at,omitempty"`
	FailureReason FailureReason `json:"failure_reason,omitempty"`
	BankCode      string        `json:"bank_code,omitempty"`
	SCABy         string        `json:"sca_performed_by,omitempty"` // SCAByASPSP or SCAByHub
}

// View gives the payment as its merchant may see it.
func (p *Payment) View() PaymentView {
	v := PaymentView{
		ID: p.ID, Status: p.State, Amount: p.Amount, PayeeAccountID: p.PayeeAccountID,
		Reference: p.Personal.Reference, Player: PlayerView{p.Personal.Player.Reference},
		ReturnURI: p.ReturnURI, BankID: p.BankID, Locale: p.Locale,
		CreatedAt: Timestamp(p.CreatedAt), ExpiresAt: Timestamp(p.ExpiresAt),
		AuthorizedAt: stamp(p.AuthorizedAt), ExecutedAt: stamp(p.ExecutedAt), SettledAt: stamp(p.SettledAt),
		CreditableAt: stamp(p.CreditableAt), FailedAt: stamp(p.FailedAt),
		FailureStage: p.FailureStage, FailureReason: p.Failure, BankCode: p.BankCode,
		CancelAsked: p.CancelledBy != "" && !p.State.Final(), PayerCheck: p.PayerCheck, Metadata: p.Personal.Metadata,
		Attempts:   make([]AttemptView, 0, len(p.Attempts)),
		ReturnedAt: stamp(p.ReturnedAt), ReturnCode: p.ReturnCode, RecallAt: stamp(p.RecallRequestedAt), RecallCode: p.RecallCode,
	}
	if p.AskedMinor > 0 {
		v.Requested = &Money{p.AskedMinor, p.Amount.Currency}
	}
	if p.RefundedMinor > 0 {
		v.Refunded = &Money{p.RefundedMinor, p.Amount.Currency}
	}
	if p.SourceID != "" {
		v.PaymentSource = &SourceView{p.SourceID, p.Personal.Source.IBAN.Masked(), p.Personal.Source.Name}
	}
	for _, a := range p.Attempts {
		v.Attempts = append(v.Attempts, AttemptView{
			ID: a.ID, BankID: a.BankID, Status: a.State, EndToEndID: a.EndToEndID,
			StartedAt: Timestamp(a.StartedAt), EndedAt: stamp(a.EndedAt), FailureReason: a.Failure, BankCode: a.BankReason, SCABy: a.SCABy,
		})
	}
	return v
}

// emit records that something happened; the store writes it with the payment.
func (p *Payment) emit(eventType string, now time.Time) {
	p.Sequence++
	p.UpdatedAt = now
	p.events = append(p.events, Event{
		Type: eventType, MerchantID: p.MerchantID, ObjectID: p.ID, Sequence: p.Sequence, CreatedAt: now,
	})
}

// TakeEvents hands over the events since the last call, each with the
// payment's view as it is now. The store calls it, once per write.
func (p *Payment) TakeEvents() ([]Event, error) {
	if len(p.events) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(map[string]any{"payment": p.View()})
	if err != nil {
		return nil, fmt.Errorf("payment view: %w", err)
	}
	out := p.events
	p.events = nil
	for i := range out {
		out[i].Data = data
	}
	return out, nil
}
