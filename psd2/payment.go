package psd2

import (
	"encoding/json"
	"time"
)

// Payment is one deposit a merchant asked for: the aggregate that every change
// goes through. Its fields are what survives a person's erasure; everything
// personal is in Personal, which the store seals with that person's key.
//
// Only the methods in state.go change State, Attempts and the outcome fields.
type Payment struct {
	ID             string     `json:"id"`
	MerchantID     string     `json:"merchant_id"`
	PersonID       string     `json:"person_id"` // whose data key seals Personal
	Version        int64      `json:"-"`         // compare-and-swap; the store's
	Sequence       int64      `json:"sequence"`  // of the last event, from 1
	State          State      `json:"state"`
	Amount         Money      `json:"amount"`
	AskedMinor     int64      `json:"asked_minor,omitempty"` // what the merchant asked for, when the payer pays less
	PayeeAccountID string     `json:"payee_account_id"`
	ReturnURI      string     `json:"return_uri"`        // one of the merchant's registered ones
	BankID         string     `json:"bank_id,omitempty"` // asked for by the merchant
	Locale         string     `json:"locale,omitempty"`  // "de" or "en"
	CreatedAt      time.Time  `json:"created_at"`
	ExpiresAt      time.Time  `json:"expires_at"`
	UpdatedAt      time.Time  `json:"updated_at"`
	Attempts       []Attempt  `json:"attempts,omitempty"` // oldest first; only the last can be open
	PayerPolicy    Policy     `json:"payer_policy"`
	PayerCheck     PayerCheck `json:"payer_check"`

	AuthorizedAt *time.Time    `json:"authorized_at,omitempty"`
	ExecutedAt   *time.Time    `json:"executed_at,omitempty"`
	SettledAt    *time.Time    `json:"settled_at,omitempty"`
	CreditableAt *time.Time    `json:"creditable_at,omitempty"`
	FailedAt     *time.Time    `json:"failed_at,omitempty"`
	UnknownAt    *time.Time    `json:"unknown_at,omitempty"` // when the outcome last became unknown
	FailureStage State         `json:"failure_stage,omitempty"`
	Failure      FailureReason `json:"failure_reason,omitempty"`
	BankCode     string        `json:"bank_code,omitempty"` // raw code behind the failure

	CancelledBy FailureReason `json:"cancelled_by,omitempty"` // a wish to cancel that the bank has yet to decide
	SourceID    string        `json:"source_id,omitempty"`    // the paying account, once known

	RefundedMinor     int64      `json:"refunded_minor,omitempty"` // refunds that have not failed; the store's
	ReturnedAt        *time.Time `json:"returned_at,omitempty"`    // our bank sent the money back
	ReturnCode        string     `json:"return_code,omitempty"`
	RecallRequestedAt *time.Time `json:"recall_requested_at,omitempty"` // the payer's bank wants it back
	RecallCode        string     `json:"recall_code,omitempty"`

	LinkHash    string `json:"link_hash"`              // of the hosted page's link token
	BrowserHash string `json:"browser_hash,omitempty"` // of the secret of the one browser that may act

	Personal Personal `json:"-"`

	events []Event
}

// Personal is what the store seals: it is never logged, put into a URL, a NATS
// message or an error.
type Personal struct {
	Reference string                     `json:"reference"`
	Player    Player                     `json:"player"`
	Payee     Party                      `json:"payee"`
	State     string                     `json:"state,omitempty"` // the merchant's own, returned with the payer
	Metadata  map[string]string          `json:"metadata,omitempty"`
	DeviceID  string                     `json:"device_id,omitempty"`
	Source    Party                      `json:"source"` // who paid, from which account
	Attempts  map[string]AttemptPersonal `json:"attempts,omitempty"`
}

// AttemptPersonal is the sealed half of an attempt.
type AttemptPersonal struct {
	Adapter   []byte `json:"adapter,omitempty"`    // the adapter's opaque state
	OrderHash string `json:"order_hash,omitempty"` // of the order as committed; what is sent must match
	Cancel    Prompt `json:"cancel,omitzero"`      // how the payer confirms a cancellation at his bank, if he must
	Prompt    Prompt `json:"prompt"`               // what the bank wants of the payer now
	PSU       PSU    `json:"psu"`
}

// Party is a name and an account: payee or payer.
type Party struct {
	Name string `json:"name,omitempty"`
	IBAN IBAN   `json:"iban,omitempty"`
	BIC  string `json:"bic,omitempty"`
}

// Player is what the merchant knows of the payer.
type Player struct {
	Reference                 string `json:"reference"`
	Name                      string `json:"name,omitempty"`
	DateOfBirth               string `json:"date_of_birth,omitempty"` // YYYY-MM-DD
	Residence                 string `json:"residence,omitempty"`     // ISO 3166 alpha-2
	KYCStatus                 string `json:"kyc_status,omitempty"`
	RegisteredAt              string `json:"registered_at,omitempty"` // RFC 3339
	StakeMinorSinceLastPayout *int64 `json:"stake_minor_since_last_payout,omitempty"`
}

// PSU is what a bank is told about the payer's browser (NextGenPSD2 PSU-*
// headers).
type PSU struct {
	IP             string `json:"ip,omitempty"`
	Port           string `json:"port,omitempty"`
	UserAgent      string `json:"user_agent,omitempty"`
	Accept         string `json:"accept,omitempty"`
	AcceptLanguage string `json:"accept_language,omitempty"`

	// What the payer typed for a bank that wants it with the order. Both live in
	// memory only.
	ID      string `json:"-"` // PSU-ID, the name by which his bank knows him
	Account IBAN   `json:"-"` // the account to pay from
}

// Policy says what becomes of a payment whose paying account's holder is not
// known to be the player (GwG §16(4): deposits come from the player's own
// account).
type Policy string

// Policies of a merchant.
const (
	PayerRequired Policy = "required" // not creditable until the holder is known and matches
	PayerOptional Policy = "optional" // creditable when the holder never becomes known
	PayerOff      Policy = "off"      // not asked
)

// PayerCheck is the outcome of comparing the account's holder with the player.
type PayerCheck string

// Outcomes of the payer check.
const (
	PayerUnknown    PayerCheck = "unknown"
	PayerMatched    PayerCheck = "matched"
	PayerMismatched PayerCheck = "mismatched"
	PayerWaived     PayerCheck = "waived"
)

// Attempt is one try at one bank: its own order, its own EndToEndId.
type Attempt struct {
	ID           string        `json:"id"`
	BankID       string        `json:"bank_id"`
	Approach     string        `json:"approach,omitempty"` // banks.Approach the bank chose
	State        AttemptState  `json:"state"`
	EndToEndID   string        `json:"end_to_end_id"`
	RequestID    string        `json:"request_id"`              // X-Request-ID of the initiation
	RiskAtOnce   bool          `json:"risk_at_once,omitempty"`  // the initiation alone may move money (banks.Info.AtRiskOnceSent)
	RedirectLife time.Duration `json:"redirect_life,omitempty"` // 0: the bank does not say
	StartedAt    time.Time     `json:"started_at"`
	SubmittedAt  *time.Time    `json:"submitted_at,omitempty"` // intent of the one call that creates the order
	TakenAt      *time.Time    `json:"taken_at,omitempty"`     // since when the bank is known to have the order, and how to ask for it
	Prompt       PromptKind    `json:"prompt,omitempty"`       // what the bank waits for; details are personal
	AtRiskAt     *time.Time    `json:"at_risk_at,omitempty"`   // since when money may move
	ReturnedAt   *time.Time    `json:"returned_at,omitempty"`  // when the payer's browser came back
	AskedAt      *time.Time    `json:"asked_at,omitempty"`     // last status request
	AnsweredAt   *time.Time    `json:"answered_at,omitempty"`  // last status answer
	EndedAt      *time.Time    `json:"ended_at,omitempty"`
	BankStatus   string        `json:"bank_status,omitempty"` // last raw transactionStatus
	SCAStatus    string        `json:"sca_status,omitempty"`  // last raw scaStatus
	BankReason   string        `json:"bank_reason,omitempty"` // raw reason code, e.g. AM04
	Failure      FailureReason `json:"failure_reason,omitempty"`
	Odd          int           `json:"odd,omitempty"` // answers that contradicted earlier ones

	// SCABy says whose strong authentication of the payer is the one the law asks
	// for: SCAByASPSP, or SCAByHub where the bank has delegated it to us.
	SCABy string `json:"sca_by,omitempty"`
	// Exemptions from it that the bank was told are met, as far as it has a place
	// for that; the bank alone decides.
	Exemptions []string `json:"exemptions,omitempty"`

	Decision *OperatorDecision `json:"decision,omitempty"` // of an outcome that stayed unknown
}

// Who authenticates a payer for his bank.
const (
	SCAByASPSP = "aspsp"
	SCAByHub   = "delegated"
)

// NewEndToEndID makes an attempt's EndToEndId: 29 EPC characters, unique and
// ours, so that a statement entry can be traced back.
func NewEndToEndID(attemptID string) string {
	b := []byte(attemptID[len(PrefixAttempt)+1:])
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 32
		}
	}
	return "RLT" + string(b)
}

// Open returns the attempt that is still under way, or nil.
func (p *Payment) Open() *Attempt {
	if n := len(p.Attempts); n > 0 && p.Attempts[n-1].State.open() {
		return &p.Attempts[n-1]
	}
	return nil
}

// Attempt finds an attempt by id, or nil.
func (p *Payment) Attempt(id string) *Attempt {
	for i := range p.Attempts {
		if p.Attempts[i].ID == id {
			return &p.Attempts[i]
		}
	}
	return nil
}

// Last returns the newest attempt, or nil.
func (p *Payment) Last() *Attempt {
	if n := len(p.Attempts); n > 0 {
		return &p.Attempts[n-1]
	}
	return nil
}

// Event is one line of the journal: what happened to an object, in its order.
type Event struct {
	ID         string          `json:"id"` // evt_…; the same in every delivery
	Type       string          `json:"type"`
	MerchantID string          `json:"-"`
	ObjectID   string          `json:"-"`        // pay_… (later ref_…, pot_…)
	Sequence   int64           `json:"sequence"` // within the object, from 1
	CreatedAt  time.Time       `json:"created_at"`
	Data       json.RawMessage `json:"data"` // the object's public view at that moment
	Position   int64           `json:"-"`    // in the whole journal; 0 until the sequencer gave it
}
