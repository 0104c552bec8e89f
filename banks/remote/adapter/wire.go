package adapter

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// Version of the protocol. A reply of another version is not understood.
const Version = 1

// Group is the NATS queue group in which adapters listen.
const Group = "adapter"

// Subject is where requests for an operation of a bank go; "*" for all.
func Subject(bankID, op string) string { return "rialto.bank." + bankID + "." + op }

// Operations, each the method of banks of the same name.
const (
	OpInfo     = "info"
	OpPrepare  = "prepare"
	OpInitiate = "initiate"
	OpAnswer   = "answer"
	OpReturn   = "return"
	OpStatus   = "status"
	OpCancel   = "cancel"
	OpFind     = "find"
	OpFunds    = "funds"
	OpProbe    = "probe"
)

// Ops lists them all.
var Ops = []string{OpInfo, OpPrepare, OpInitiate, OpAnswer, OpReturn, OpStatus, OpCancel, OpFind, OpFunds, OpProbe}

// Request is what the hub asks. Bytes are base64, amounts integers of minor
// units.
type Request struct {
	Version   int                 `json:"v"`
	TimeoutMS int64               `json:"timeout_ms"`
	Order     *Order              `json:"order,omitempty"`   // prepare, initiate
	Ref       *Ref                `json:"ref,omitempty"`     // all others that are about an order
	Answer    *Answer             `json:"answer,omitempty"`  // answer
	Query     map[string][]string `json:"query,omitempty"`   // return
	Account   string              `json:"account,omitempty"` // funds: IBAN
	Amount    *psd2.Money         `json:"amount,omitempty"`  // funds
}

// Order is banks.Order.
type Order struct {
	AttemptID  string     `json:"attempt_id"`
	EndToEndID string     `json:"end_to_end_id"`
	RequestID  string     `json:"request_id"`
	TraceID    string     `json:"trace_id,omitempty"`
	Amount     psd2.Money `json:"amount"`
	Creditor   psd2.Party `json:"creditor"`
	Debtor     string     `json:"debtor,omitempty"`
	Remittance string     `json:"remittance,omitempty"`
	PSU        psd2.PSU   `json:"psu"`
	PSUID      string     `json:"psu_id,omitempty"`
	ReturnURL  string     `json:"return_url"`
	FailURL    string     `json:"fail_url,omitempty"`
	NotifyURL  string     `json:"notify_url,omitempty"`
	State      []byte     `json:"state,omitempty"`
	// Exemptions that the hub holds for met, where the bank's profile says that its
	// bank takes hints of them.
	Exemptions []string `json:"exemptions,omitempty"`
}

// Ref is banks.Ref.
type Ref struct {
	EndToEndID string   `json:"end_to_end_id"`
	RequestID  string   `json:"request_id"`
	TraceID    string   `json:"trace_id,omitempty"`
	State      []byte   `json:"state,omitempty"`
	PSU        psd2.PSU `json:"psu"`
	ReturnURL  string   `json:"return_url,omitempty"`
	FailURL    string   `json:"fail_url,omitempty"`
}

// Answer is psd2.PromptAnswer: not to be logged or kept.
type Answer struct {
	PSUID    string `json:"psu_id,omitempty"`
	Password string `json:"password,omitempty"`
	MethodID string `json:"method_id,omitempty"`
	Code     string `json:"code,omitempty"`
}

// Reply is what an adapter answers: an error, or what the operation gives.
type Reply struct {
	Version      int           `json:"v"`
	Error        *Error        `json:"error,omitempty"`
	Initiation   *Initiation   `json:"initiation,omitempty"`   // prepare, initiate, answer, return
	Status       *Status       `json:"status,omitempty"`       // status, find
	State        []byte        `json:"state,omitempty"`        // find
	Cancellation *Cancellation `json:"cancellation,omitempty"` // cancel
	Funds        *bool         `json:"funds,omitempty"`        // funds
	Info         *Info         `json:"info,omitempty"`         // info
}

// Error is banks.Error. Its message must hold no account, token or key.
type Error struct {
	Kind         banks.Kind `json:"kind"`
	Code         string     `json:"code,omitempty"`
	HTTPStatus   int        `json:"http_status,omitempty"`
	RetryAfterMS int64      `json:"retry_after_ms,omitempty"`
	Message      string     `json:"message,omitempty"`
}

// Initiation is banks.Initiation.
type Initiation struct {
	State    []byte         `json:"state,omitempty"`
	Approach banks.Approach `json:"approach"`
	Prompt   psd2.Prompt    `json:"prompt,omitzero"`
	Status   string         `json:"status,omitempty"`
	SCA      string         `json:"sca,omitempty"`
	Ready    bool           `json:"ready,omitempty"`
}

// Status is banks.Status.
type Status struct {
	Transaction string     `json:"transaction"`
	SCA         string     `json:"sca,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Payer       psd2.Party `json:"payer,omitzero"`
}

// Cancellation is banks.Cancellation.
type Cancellation struct {
	Done   bool        `json:"done"`
	Prompt psd2.Prompt `json:"prompt,omitzero"`
	State  []byte      `json:"state,omitempty"`
}

// Info is what an adapter says of itself: for people and for the hub's doctor.
// What the hub goes by stands in its own registry.
type Info struct {
	ID         string           `json:"id"`
	Approaches []banks.Approach `json:"approaches"`
	Ops        []string         `json:"ops"` // those it can answer
}

// NewOrder and the functions below translate between the seam and the wire.
func NewOrder(o banks.Order) *Order {
	return &Order{AttemptID: o.AttemptID, EndToEndID: o.EndToEndID, RequestID: o.RequestID, TraceID: o.TraceID, Amount: o.Amount,
		Creditor: o.Creditor, Debtor: string(o.Debtor), Remittance: o.Remittance, PSU: o.PSU, PSUID: o.PSU.ID,
		ReturnURL: o.ReturnURL, FailURL: o.FailURL, NotifyURL: o.NotifyURL, State: o.State, Exemptions: o.Exemptions}
}

// Bank is the order as adapters in Go get it.
func (o *Order) Bank() banks.Order {
	out := banks.Order{AttemptID: o.AttemptID, EndToEndID: o.EndToEndID, RequestID: o.RequestID, TraceID: o.TraceID, Amount: o.Amount,
		Creditor: o.Creditor, Debtor: psd2.IBAN(o.Debtor), Remittance: o.Remittance, PSU: o.PSU,
		ReturnURL: o.ReturnURL, FailURL: o.FailURL, NotifyURL: o.NotifyURL, State: o.State, Exemptions: o.Exemptions}
	out.PSU.ID, out.PSU.Account = o.PSUID, out.Debtor
	return out
}

// NewRef is r for the wire.
func NewRef(r banks.Ref) *Ref {
	return &Ref{EndToEndID: r.EndToEndID, RequestID: r.RequestID, TraceID: r.TraceID, State: r.State, PSU: r.PSU, ReturnURL: r.ReturnURL, FailURL: r.FailURL}
}

// Bank is the reference as adapters in Go get it.
func (r *Ref) Bank() banks.Ref {
	return banks.Ref{EndToEndID: r.EndToEndID, RequestID: r.RequestID, TraceID: r.TraceID, State: r.State, PSU: r.PSU, ReturnURL: r.ReturnURL, FailURL: r.FailURL}
}

// NewError is err for the wire. What an adapter does not explain is uncertain.
func NewError(err error) *Error {
	var e *banks.Error
	if !errors.As(err, &e) {
		return &Error{Kind: banks.Uncertain, Message: "the adapter failed"}
	}
	out := &Error{Kind: e.Kind, Code: e.Code, HTTPStatus: e.HTTPStatus, RetryAfterMS: e.RetryAfter.Milliseconds()}
	if e.Err != nil {
		out.Message = e.Err.Error()
	}
	return out
}

// Bank is the error as the hub gets it. A kind it does not know is uncertain.
func (e *Error) Bank() *banks.Error {
	out := &banks.Error{Kind: e.Kind, Code: e.Code, HTTPStatus: e.HTTPStatus, RetryAfter: time.Duration(e.RetryAfterMS) * time.Millisecond}
	switch e.Kind {
	case banks.Refused, banks.Unavailable, banks.Uncertain, banks.BadRequest, banks.NotFound:
	default:
		out.Kind = banks.Uncertain
	}
	if e.Message != "" {
		out.Err = errors.New(e.Message)
	}
	return out
}

// handle answers one request with a bank.
func handle(ctx context.Context, bank banks.Bank, op string, raw []byte) Reply {
	var q Request
	if err := json.Unmarshal(raw, &q); err != nil || q.Version != Version {
		return refuse("REQUEST_UNREADABLE")
	}
	if q.TimeoutMS > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(q.TimeoutMS)*time.Millisecond)
		defer cancel()
	}
	out, err := perform(ctx, bank, op, &q)
	if err != nil {
		out = Reply{Error: NewError(err)}
	}
	out.Version = Version
	return out
}

func refuse(code string) Reply {
	return Reply{Version: Version, Error: &Error{Kind: banks.BadRequest, Code: code}}
}

var (
	errNoOp    = &banks.Error{Kind: banks.BadRequest, Code: "OPERATION_UNKNOWN"}
	errMissing = &banks.Error{Kind: banks.BadRequest, Code: "REQUEST_INCOMPLETE"}
)

func perform(ctx context.Context, bank banks.Bank, op string, q *Request) (Reply, error) {
	switch op {
	case OpInfo:
		i := bank.Info()
		return Reply{Info: &Info{ID: i.ID, Approaches: i.Approaches, Ops: can(bank)}}, nil
	case OpProbe:
		if p, ok := bank.(banks.Prober); ok {
			return Reply{}, p.Probe(ctx)
		}
		return Reply{}, errNoOp
	case OpPrepare, OpInitiate:
		if q.Order == nil {
			return Reply{}, errMissing
		}
		return order(ctx, bank, op, q.Order.Bank())
	}
	if q.Ref == nil {
		return Reply{}, errMissing
	}
	return about(ctx, bank, op, q, q.Ref.Bank())
}

func order(ctx context.Context, bank banks.Bank, op string, o banks.Order) (Reply, error) {
	if op == OpInitiate {
		return initiation(bank.Initiate(ctx, o))
	}
	if p, ok := bank.(banks.Preparer); ok {
		return initiation(p.Prepare(ctx, o))
	}
	return Reply{}, errNoOp
}

func about(ctx context.Context, bank banks.Bank, op string, q *Request, r banks.Ref) (Reply, error) {
	switch op {
	case OpStatus:
		s, err := bank.Status(ctx, r)
		return Reply{Status: wireStatus(s)}, err
	case OpAnswer:
		if p, ok := bank.(banks.Prompter); ok && q.Answer != nil {
			return initiation(p.Answer(ctx, r, psd2.PromptAnswer(*q.Answer)))
		}
	case OpReturn:
		if p, ok := bank.(banks.Returner); ok {
			return initiation(p.Return(ctx, r, url.Values(q.Query)))
		}
	case OpCancel:
		if c, ok := bank.(banks.Canceller); ok {
			a, err := c.Cancel(ctx, r)
			return Reply{Cancellation: &Cancellation{Done: a.Done, Prompt: a.Prompt, State: a.State}}, err
		}
	case OpFind:
		if f, ok := bank.(banks.Finder); ok {
			state, s, err := f.Find(ctx, r)
			return Reply{State: state, Status: wireStatus(s)}, err
		}
	case OpFunds:
		if f, ok := bank.(banks.FundsChecker); ok && q.Amount != nil {
			yes, err := f.FundsAvailable(ctx, r, psd2.IBAN(q.Account), *q.Amount)
			return Reply{Funds: &yes}, err
		}
	}
	return Reply{}, errNoOp
}

func wireStatus(s banks.Status) *Status {
	return &Status{Transaction: s.Transaction, SCA: s.SCA, Reason: s.Reason, Payer: s.Payer}
}

func initiation(in banks.Initiation, err error) (Reply, error) {
	return Reply{Initiation: &Initiation{State: in.State, Approach: in.Approach, Prompt: in.Prompt, Status: in.Status, SCA: in.SCA, Ready: in.Ready}}, err
}

// can lists what a bank can do.
func can(bank banks.Bank) []string {
	ops := []string{OpInfo, OpInitiate, OpStatus}
	add := func(op string, ok bool) {
		if ok {
			ops = append(ops, op)
		}
	}
	_, ok := bank.(banks.Preparer)
	add(OpPrepare, ok)
	_, ok = bank.(banks.Prompter)
	add(OpAnswer, ok)
	_, ok = bank.(banks.Returner)
	add(OpReturn, ok)
	_, ok = bank.(banks.Canceller)
	add(OpCancel, ok)
	_, ok = bank.(banks.Finder)
	add(OpFind, ok)
	_, ok = bank.(banks.FundsChecker)
	add(OpFunds, ok)
	_, ok = bank.(banks.Prober)
	add(OpProbe, ok)
	return ops
}
