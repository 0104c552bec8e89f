// Package banks says what a bank adapter is. An adapter knows one protocol
// (banks/berlingroup, later others) and carries no state of its own: what it
// must remember about an order it hands to the hub as opaque bytes and gets
// back with the next call.
//
// The Registry (registry.go) lists the banks a payer can choose, with the data
// he searches them by and whether they can be reached just now (health.go).
//
// Required is Bank: constant Info, Initiate (exactly one request to the bank
// per call) and Status (the only source of truth). Everything else is a small
// optional role that the hub discovers by type assertion; so adapters are
// never wrapped, tracing and metrics sit in the http.RoundTripper.
//
// The one error that leaves an adapter is *Error. banks/bankstest holds the
// behaviour that every adapter must show.
package banks

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Bank is one ASPSP, reached by one adapter.
type Bank interface {
	// Info is constant.
	Info() Info
	// Initiate sends the order to the bank with exactly one request that could
	// create a payment, and no retry of any kind below it. The hub calls it
	// once per attempt, after it has committed the attempt.
	Initiate(ctx context.Context, o Order) (Initiation, error)
	// Status asks the bank what became of the order. It may be called at any
	// time, from any process, with the state Initiate returned.
	Status(ctx context.Context, r Ref) (Status, error)
}

// Canceller is a bank that can be asked to cancel an order.
type Canceller interface {
	// Cancel asks once. When the bank wants the payer to authorise the
	// cancellation, the answer's Prompt says how; until he has, the order
	// stands.
	Cancel(ctx context.Context, r Ref) (Cancellation, error)
}

// Prompter is a bank that asks its customer through us: embedded, and decoupled
// after an identification.
type Prompter interface {
	// Answer relays one answer of the payer with exactly one request that could
	// authorise the order. A wrong answer that may be given again is no error:
	// the same Prompt comes back with Again. The state replaces the earlier one.
	Answer(ctx context.Context, r Ref, a psd2.PromptAnswer) (Initiation, error)
}

// Returner is a bank whose payer may bring something back that has to be taken
// to the bank: an authorisation code of OAuth, a confirmation code.
type Returner interface {
	// Return is called once per return, with the parameters of the return URL.
	// Parameters that do not belong to this order, this bank (RFC 9207) or this
	// request are a BadRequest, and nothing is sent. Where Initiation.Ready
	// comes back, the hub goes on with Initiate.
	Return(ctx context.Context, r Ref, query url.Values) (Initiation, error)
}

// Preparer is a bank that may want something of the payer before it takes an
// order: a login by OAuth, say.
type Preparer interface {
	// Prepare sends nothing that could create a payment. Its Prompt leads the
	// payer to the bank; his return goes to Returner.Return.
	Prepare(ctx context.Context, o Order) (Initiation, error)
}

// Finder is a bank that can be asked for an order by our own reference, when
// the answer to the initiation was lost.
type Finder interface {
	// Find returns the order's state and status; NotFound only when the bank
	// certainly never took it.
	Find(ctx context.Context, r Ref) (state []byte, s Status, err error)
}

// FundsChecker is a bank that confirms the availability of funds.
type FundsChecker interface {
	FundsAvailable(ctx context.Context, r Ref, account psd2.IBAN, amount psd2.Money) (bool, error)
}

// Approach is how the payer is authenticated (NextGenPSD2 ASPSP-SCA-Approach;
// OAuth counts as redirect).
type Approach string

// Approaches.
const (
	Redirect  Approach = "redirect"
	Decoupled Approach = "decoupled"
	Embedded  Approach = "embedded"
)

// Info describes a bank; it never changes while the process runs.
type Info struct {
	ID         string
	Approaches []Approach
	// Dedup is how long the bank recognises the same order sent twice; zero
	// means never, which is what NextGenPSD2 gives. It only ever forbids: the
	// hub does not resend.
	Dedup time.Duration
	// RiskAtOnce says that the bank may exempt an order from SCA, so that the
	// initiation alone may move money. Who asks whether it may asks AtRiskOnceSent.
	RiskAtOnce bool
	// DelegatesSCA says that the bank has handed its authentication of the payer
	// over to us by contract: the hub has him confirm with a strong factor before
	// the order, and the bank does not ask.
	DelegatesSCA bool
	// RedirectLife is how long an unused redirect stays usable; zero when the
	// bank does not say. After it an order still RCVD can no longer be paid.
	RedirectLife time.Duration
	// RedirectOrigins are the scheme://host[:port] the payer may be sent to.
	// A redirect to anywhere else is refused by the adapter.
	RedirectOrigins []string
	// First is what the bank wants before it takes an order: PromptRedirect means
	// Preparer.Prepare, PromptIdentify a PSU-ID in Order.PSU, "" nothing.
	First psd2.PromptKind
	// DebtorMandatory says that the bank wants the paying account in the order;
	// without Order.Debtor the adapter answers invalid before it sends anything.
	DebtorMandatory bool
}

// AtRiskOnceSent reports whether money may move from the intent to initiate on,
// without any further act of ours. Then a lost answer to the initiation means an
// unknown outcome, and nothing is sent again. It follows from what the bank
// offers; no adapter says it of itself:
//
//	the bank asks its customer       money is at risk from
//	-------------------------------  ------------------------------------------------
//	on its own page (redirect,       the answer to the initiation: before, nobody
//	scaOAuth)                        holds the link
//	on its own page, after a login   the same; the login itself orders nothing
//	before the order (First)
//	in its app (decoupled)           the intent to initiate: an adapter that starts the
//	                                 authorisation explicitly does so within Initiate
//	in its app, after we have        the intent to initiate, until the answer says that
//	relayed who he is                it waits for his name; then the relay of the name
//	through us (embedded)            the relay of an answer of his, until the bank asks
//	                                 for another; Initiate never carries a password
//	not at all (RiskAtOnce,          the intent to initiate, until the answer asks
//	DelegatesSCA)
//
// A bank that may choose between several ways counts as the riskiest of them.
func (i Info) AtRiskOnceSent() bool {
	return i.RiskAtOnce || i.DelegatesSCA || slices.Contains(i.Approaches, Decoupled)
}

// Order is one credit transfer to be initiated.
type Order struct {
	AttemptID  string // for logs and traces, not sent
	EndToEndID string // ≤ 35 EPC characters, unique
	RequestID  string // a UUID for X-Request-ID
	TraceID    string
	Amount     psd2.Money
	Creditor   psd2.Party
	Debtor     psd2.IBAN // "" lets the payer choose at the bank
	Remittance string    // ≤ 140 EPC characters
	PSU        psd2.PSU
	ReturnURL  string // where the bank sends the payer back
	FailURL    string // where it sends him after a failure
	NotifyURL  string // where the bank may tell us that there is news; "" when not wanted
	State      []byte // what Prepare and Return made, for a bank that wanted them
	// Exemptions from SCA that the hub's policy holds for met (RTS Art. 13–18),
	// as package sca names them. They are a hint: the bank alone decides. An
	// adapter sends what its bank has a place for, and leaves out the rest.
	Exemptions []string
}

// Ref names an order at its bank.
type Ref struct {
	EndToEndID string
	RequestID  string // fresh UUID for this call
	TraceID    string
	State      []byte // what the last call returned
	PSU        psd2.PSU
	ReturnURL  string // as in Order, for a cancellation that the payer must authorise
	FailURL    string
}

// Initiation is where an order stands after the bank took it, or after the
// payer took a step.
type Initiation struct {
	State    []byte // the adapter's own; opaque, sealed at rest by the hub
	Approach Approach
	Prompt   psd2.Prompt // PromptNone: the bank wants nothing more of the payer (or exempted him)
	Status   string      // raw transactionStatus; "" when the answer did not say
	SCA      string      // raw scaStatus, if said
	Ready    bool        // after Prepare and Return: now Initiate
}

// Cancellation is a bank's answer to a wish to cancel.
type Cancellation struct {
	Done   bool        // the order is cancelled, for certain
	Prompt psd2.Prompt // how the payer authorises the cancellation, if he must
	State  []byte      // replaces the order's, when not nil
}

// Status is a bank's answer about an order, codes as the bank sent them after
// the profile's aliases.
type Status struct {
	Transaction string     // raw transactionStatus; "" when the bank did not say
	SCA         string     // raw scaStatus; "" when the bank did not say, psd2.SCAUnread when it could not be asked
	Reason      string     // raw reason code of a refusal
	Payer       psd2.Party // paying account and holder, as far as the bank says
}

// Kind says what an adapter's failure means for the order.
type Kind string

// Kinds of failure.
const (
	Refused     Kind = "refused"     // the bank's final no: the order does not exist
	Unavailable Kind = "unavailable" // certainly not received by the bank
	Uncertain   Kind = "uncertain"   // may have been received: never resend, ask
	BadRequest  Kind = "invalid"     // our request is wrong; the order does not exist
	NotFound    Kind = "not_found"   // the bank does not know the order
)

// Error is the only error that leaves an adapter. Its text holds no account,
// token or key.
type Error struct {
	Kind       Kind
	Code       string        // the bank's own code, e.g. FORMAT_ERROR or AM04
	HTTPStatus int           // 0 when there was no answer
	RetryAfter time.Duration // from 429 and 503
	Err        error         // cause, already free of personal data
}

func (e *Error) Error() string {
	s := "bank: " + string(e.Kind)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }
