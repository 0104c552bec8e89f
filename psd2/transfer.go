package psd2

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// TransferKind says why money goes out.
type TransferKind string

// Kinds of transfers.
const (
	KindRefund TransferKind = "refund" // of a deposit, to the account it came from
	KindPayout TransferKind = "payout" // of a player's winnings
)

// TransferState is what a merchant sees of a transfer.
type TransferState string

// States of a transfer. A transfer that compliance holds is pending to
// everybody outside (GwG §47). Executed is the end unless the payee's bank
// sends the money back (pacs.004).
//
//	pending → authorized → executed → returned
//	   │  ↘       │   ↘        ↑
//	   └─→ failed ←┘  outcome_unknown
const (
	TransferPending    TransferState = "pending"    // not sent yet, or the bank has not accepted it yet
	TransferAuthorized TransferState = "authorized" // our bank accepted it
	TransferExecuted   TransferState = "executed"   // our account is debited for good
	TransferReturned   TransferState = "returned"   // the money came back
	TransferFailed     TransferState = "failed"     // no money moves
	TransferUnknown    TransferState = "outcome_unknown"
)

// TransferStates lists them all.
var TransferStates = []TransferState{TransferPending, TransferAuthorized, TransferExecuted, TransferReturned, TransferFailed, TransferUnknown}

// Transfer is money that goes out: a refund or a payout. It is the aggregate
// that every change goes through; only the methods in transferstate.go change
// it. What is personal is in Personal, which the store seals.
//
// One transfer is one order and is sent once. Whoever wants to try again makes
// a new one, and Retryable says when that is safe.
type Transfer struct {
	ID         string        `json:"id"` // ref_… or pot_…
	Kind       TransferKind  `json:"kind"`
	MerchantID string        `json:"merchant_id"`
	PersonID   string        `json:"person_id"` // whose data key seals Personal
	Version    int64         `json:"-"`         // compare-and-swap; the store's
	Sequence   int64         `json:"sequence"`  // of the last event, from 1
	State      TransferState `json:"state"`
	Amount     Money         `json:"amount"`
	AccountID  string        `json:"account_id"`           // the merchant's account that pays
	PaymentID  string        `json:"payment_id,omitempty"` // the deposit that is refunded, or that showed the payout's payee
	SourceID   string        `json:"source_id,omitempty"`  // the account that paid in and is paid now
	MessageID  string        `json:"message_id"`
	EndToEndID string        `json:"end_to_end_id"`
	CreatedAt  time.Time     `json:"created_at"`
	UpdatedAt  time.Time     `json:"updated_at"`

	HeldAt      *time.Time    `json:"held_at,omitempty"`      // since when it waits for compliance; never told
	LookAt      *time.Time    `json:"look_at,omitempty"`      // when compliance is asked again
	SubmittedAt *time.Time    `json:"submitted_at,omitempty"` // intent of the one call that moves money
	Dedup       time.Duration `json:"dedup,omitempty"`        // how long our bank knows the order again
	TakenAt     *time.Time    `json:"taken_at,omitempty"`     // since when we know that the bank has it
	AskedAt     *time.Time    `json:"asked_at,omitempty"`
	UnknownAt   *time.Time    `json:"unknown_at,omitempty"`
	BankStatus  string        `json:"bank_status,omitempty"` // last raw status
	Odd         int           `json:"odd,omitempty"`         // answers that contradicted earlier ones

	AuthorizedAt *time.Time    `json:"authorized_at,omitempty"`
	ExecutedAt   *time.Time    `json:"executed_at,omitempty"`
	ReturnedAt   *time.Time    `json:"returned_at,omitempty"`
	ReturnReason string        `json:"return_reason,omitempty"` // raw, e.g. AC04, FOCR
	FailedAt     *time.Time    `json:"failed_at,omitempty"`
	Failure      FailureReason `json:"failure_reason,omitempty"`
	BankCode     string        `json:"bank_code,omitempty"`
	Retryable    bool          `json:"retryable,omitempty"` // failed, certainly unsent, and another one may succeed

	Recall   *TransferRecall   `json:"recall,omitempty"`
	Decision *OperatorDecision `json:"decision,omitempty"` // of an outcome that stayed unknown

	Personal TransferPersonal `json:"-"`

	events []Event
}

// TransferPersonal is what the store seals of a transfer.
type TransferPersonal struct {
	Reference string            `json:"reference"` // on the payee's statement
	Player    Player            `json:"player"`
	Payer     Party             `json:"payer"` // the merchant's account
	Payee     Party             `json:"payee"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	VoP       *VoPResult        `json:"vop,omitempty"`
	OrderHash string            `json:"order_hash,omitempty"` // of the order as committed; what is sent must match
}

// TransferRecall is our request to give an executed transfer back (camt.056);
// there is one per transfer.
type TransferRecall struct {
	Reason      RecallReason `json:"reason"`
	State       RecallState  `json:"state"`
	RequestedAt time.Time    `json:"requested_at"`
	AskedAt     *time.Time   `json:"asked_at,omitempty"`
	SentAt      *time.Time   `json:"sent_at,omitempty"` // intent of the call
	AnsweredAt  *time.Time   `json:"answered_at,omitempty"`
	BankCode    string       `json:"bank_code,omitempty"` // of a refusal
}

// RecallState is where a recall stands.
type RecallState string

// States of a recall.
const (
	RecallRequested RecallState = "requested" // not sent yet, or not answered
	RecallAccepted  RecallState = "accepted"  // the money comes back, as an entry of the statement
	RecallRefused   RecallState = "refused"
)

// RecallReason is why money is wanted back.
type RecallReason string

// Reasons of a recall. The first three are the bank's scheme reasons, the
// others the originator's (SCT Inst rulebook: recall, and request for recall
// by the originator).
const (
	RecallDuplicate    RecallReason = "duplicate"
	RecallTechnical    RecallReason = "technical"
	RecallFraud        RecallReason = "fraud"
	RecallRequest      RecallReason = "requested"
	RecallWrongAccount RecallReason = "wrong_account"
	RecallWrongAmount  RecallReason = "wrong_amount"
)

var recallCodes = map[RecallReason]string{
	RecallDuplicate: "DUPL", RecallTechnical: "TECH", RecallFraud: "FRAD",
	RecallRequest: "CUST", RecallWrongAccount: "AC03", RecallWrongAmount: "AM09",
}

// Code is the reason in ISO 20022, or "" for none of ours.
func (r RecallReason) Code() string { return recallCodes[r] }

// NewMessageID makes a transfer's MsgId, 29 EPC characters, unique and ours.
func NewMessageID(transferID string) string { return "RLM" + upperID(transferID) }

// NewRecallID makes the id of a transfer's one recall.
func NewRecallID(transferID string) string { return "RLR" + upperID(transferID) }

func upperID(id string) string {
	_, id, _ = strings.Cut(id, "_")
	return strings.ToUpper(id)
}

// orderHash covers everything that is sent: if it differs, it is another order.
func (t *Transfer) orderHash() string {
	b, _ := json.Marshal([]any{t.MessageID, t.EndToEndID, t.Amount, t.Personal.Payer, t.Personal.Payee, t.Personal.Reference}) // cannot fail: strings and integers
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TransferFacts are what a rule that may hold money back is told.
type TransferFacts struct {
	ID         string
	Kind       TransferKind
	MerchantID string
	PersonID   string
	Amount     Money
	AccountID  string
	PaymentID  string
	SourceID   string
	CreatedAt  time.Time
	HeldAt     *time.Time // nil when asked for the first time
	Player     Player
	Payee      Party
	VoP        *VoPResult
}

// Facts gives the transfer as such a rule sees it.
func (t *Transfer) Facts() TransferFacts {
	return TransferFacts{
		ID: t.ID, Kind: t.Kind, MerchantID: t.MerchantID, PersonID: t.PersonID, Amount: t.Amount, AccountID: t.AccountID,
		PaymentID: t.PaymentID, SourceID: t.SourceID, CreatedAt: t.CreatedAt, HeldAt: t.HeldAt,
		Player: t.Personal.Player, Payee: t.Personal.Payee, VoP: t.Personal.VoP,
	}
}

// GateDecision is what such a rule decides.
type GateDecision string

// Decisions. Whatever is none of them holds.
const (
	GateAllow  GateDecision = "allow"
	GateHold   GateDecision = "hold"
	GateRefuse GateDecision = "refuse"
	// GateReleased is GateAllow by two officers, who have seen what speaks
	// against it: also that the payee's bank knows another holder.
	GateReleased GateDecision = "released"
	// GateWait says that it cannot be decided yet, but will be in a moment: the
	// transfer is brought before compliance again at once.
	GateWait GateDecision = "wait"
)

// TransferView is a transfer as merchants see it, in answers and in events.
// Nothing in it says that compliance has it.
type TransferView struct {
	ID            string            `json:"id"`
	Status        TransferState     `json:"status"`
	Amount        Money             `json:"amount"`
	AccountID     string            `json:"account_id"`
	PaymentID     string            `json:"payment_id,omitempty"`
	PaymentSource string            `json:"payment_source_id,omitempty"`
	Payee         PayeeView         `json:"payee"`
	Reference     string            `json:"reference"`
	Player        PlayerView        `json:"player"`
	EndToEndID    string            `json:"end_to_end_id"`
	CreatedAt     Timestamp         `json:"created_at"`
	AuthorizedAt  *Timestamp        `json:"authorized_at,omitempty"`
	ExecutedAt    *Timestamp        `json:"executed_at,omitempty"`
	ReturnedAt    *Timestamp        `json:"returned_at,omitempty"`
	ReturnCode    string            `json:"return_code,omitempty"`
	FailedAt      *Timestamp        `json:"failed_at,omitempty"`
	FailureReason FailureReason     `json:"failure_reason,omitempty"`
	BankCode      string            `json:"bank_code,omitempty"`
	Retryable     *bool             `json:"retryable,omitempty"` // only of a failed one
	Recall        *RecallView       `json:"recall,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
}

// PayeeView is who gets the money.
type PayeeView struct {
	IBANMasked   string `json:"iban_masked,omitempty"`
	Name         string `json:"name,omitempty"`
	Verification Match  `json:"verification,omitempty"` // the payee's bank about the name
}

// RecallView is a recall as its merchant sees it.
type RecallView struct {
	Reason      RecallReason `json:"reason"`
	Status      RecallState  `json:"status"`
	RequestedAt Timestamp    `json:"requested_at"`
	AnsweredAt  *Timestamp   `json:"answered_at,omitempty"`
	BankCode    string       `json:"bank_code,omitempty"`
}

// View gives the transfer as its merchant may see it.
func (t *Transfer) View() TransferView {
	v := TransferView{
		ID: t.ID, Status: t.State, Amount: t.Amount, AccountID: t.AccountID, PaymentID: t.PaymentID, PaymentSource: t.SourceID,
		Payee:     PayeeView{IBANMasked: t.Personal.Payee.IBAN.Masked(), Name: t.Personal.Payee.Name},
		Reference: t.Personal.Reference, Player: PlayerView{t.Personal.Player.Reference}, EndToEndID: t.EndToEndID,
		CreatedAt: Timestamp(t.CreatedAt), AuthorizedAt: stamp(t.AuthorizedAt), ExecutedAt: stamp(t.ExecutedAt),
		ReturnedAt: stamp(t.ReturnedAt), ReturnCode: t.ReturnReason, FailedAt: stamp(t.FailedAt), FailureReason: t.Failure,
		BankCode: t.BankCode, Metadata: t.Personal.Metadata,
	}
	// While it waits, this would tell how far the checks are; of one that has
	// failed it is told whoever refused it.
	if t.Personal.VoP != nil && (t.SubmittedAt != nil || t.State == TransferFailed) {
		v.Payee.Verification = t.Personal.VoP.Match
	}
	if t.State == TransferFailed {
		retryable := t.Retryable
		v.Retryable = &retryable
	}
	if r := t.Recall; r != nil {
		v.Recall = &RecallView{r.Reason, r.State, Timestamp(r.RequestedAt), stamp(r.AnsweredAt), r.BankCode}
	}
	return v
}

// emit records that something happened; the store writes it with the transfer.
func (t *Transfer) emit(what string, now time.Time) {
	t.Sequence++
	t.UpdatedAt = now
	t.events = append(t.events, Event{
		Type: string(t.Kind) + "." + what, MerchantID: t.MerchantID, ObjectID: t.ID, Sequence: t.Sequence, CreatedAt: now,
	})
}

// TakeEvents hands over the events since the last call, each with the
// transfer's view as it is now.
func (t *Transfer) TakeEvents() ([]Event, error) {
	if len(t.events) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(map[string]any{string(t.Kind): t.View()})
	if err != nil {
		return nil, fmt.Errorf("transfer view: %w", err)
	}
	out := t.events
	t.events = nil
	for i := range out {
		out[i].Data = data
	}
	return out, nil
}
