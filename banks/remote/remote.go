package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/remote/adapter"
	"github.com/rialto-hub/rialto/psd2"
)

// Caller sends one request and waits for its one answer; psd2/bus does. sent
// is false when the request certainly reached nobody.
type Caller interface {
	Request(ctx context.Context, subject string, payload []byte) (reply []byte, sent bool, err error)
}

// Config is the profile of a bank with a remote adapter.
type Config struct {
	Approaches      []banks.Approach `yaml:"approaches"`       // default: redirect
	RedirectOrigins []string         `yaml:"redirect_origins"` // scheme://host[:port]; required for redirect
	RedirectLife    time.Duration    `yaml:"redirect_life"`
	RiskAtOnce      bool             `yaml:"risk_at_once"` // it may exempt from SCA; decoupled is at risk anyway
	// ExemptionHints: the bank has a place for hints that an exemption from SCA is
	// met. Orders carry them then; as it may grant one, money is at risk at once.
	ExemptionHints bool `yaml:"exemption_hints"`
	// DelegatesSCA: by contract the bank leaves authentication to us.
	DelegatesSCA    bool            `yaml:"delegates_sca"`
	Dedup           time.Duration   `yaml:"dedup"`
	First           psd2.PromptKind `yaml:"first"` // "", "redirect" or "identify"
	DebtorMandatory bool            `yaml:"debtor_mandatory"`
	// Ops are the optional operations the adapter has: answer, return, cancel,
	// prepare, find, funds, probe.
	Ops []string `yaml:"ops"`
	// Timeout bounds one call (default 20 s), AtOnce how many are under way
	// (default 64).
	Timeout time.Duration `yaml:"timeout"`
	AtOnce  int           `yaml:"at_once"`
}

// maxReply bounds an answer; NATS has a bound of its own.
const maxReply = 256 << 10

// Factory makes the adapters of a registry's entries.
func Factory(caller Caller) banks.Factory {
	return func(e banks.Entry, _ banks.Deps) (banks.Bank, error) {
		var c Config
		if err := e.DecodeProfile(&c); err != nil {
			return nil, err
		}
		return New(e.ID, c, caller)
	}
}

// New makes the hub's side of a remote adapter.
func New(id string, c Config, caller Caller) (banks.Bank, error) {
	if err := c.check(id); err != nil {
		return nil, fmt.Errorf("bank %s: %w", id, err)
	}
	if c.Timeout <= 0 {
		c.Timeout = 20 * time.Second
	}
	if c.AtOnce <= 0 {
		c.AtOnce = 64
	}
	if len(c.Approaches) == 0 {
		c.Approaches = []banks.Approach{banks.Redirect}
	}
	b := &Bank{config: c, caller: caller, slots: make(chan struct{}, c.AtOnce), info: banks.Info{
		ID: id, Approaches: c.Approaches, Dedup: c.Dedup, RiskAtOnce: c.RiskAtOnce || c.ExemptionHints, DelegatesSCA: c.DelegatesSCA, RedirectLife: c.RedirectLife,
		RedirectOrigins: c.RedirectOrigins, First: c.First, DebtorMandatory: c.DebtorMandatory,
	}}
	if b.has(adapter.OpFind) {
		return finding{b}, nil
	}
	return b, nil
}

func (c Config) check(id string) error {
	var wrong []error
	if strings.ContainsAny(id, ".*> ") {
		wrong = append(wrong, errors.New("the id cannot be part of a NATS subject"))
	}
	for _, o := range c.RedirectOrigins {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || !banks.MayVisit(u, true) || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" {
			wrong = append(wrong, fmt.Errorf("redirect_origins: %q must be https://host[:port] (http only for a loopback host)", o))
		}
	}
	for _, op := range c.Ops {
		if !slices.Contains(adapter.Ops, op) {
			wrong = append(wrong, fmt.Errorf("ops: there is no operation %q", op))
		}
	}
	if !slices.Contains([]psd2.PromptKind{psd2.PromptNone, psd2.PromptRedirect, psd2.PromptIdentify}, c.First) {
		wrong = append(wrong, errors.New(`first must be "", redirect or identify`))
	}
	if c.First == psd2.PromptRedirect && !(slices.Contains(c.Ops, adapter.OpPrepare) && slices.Contains(c.Ops, adapter.OpReturn)) {
		wrong = append(wrong, errors.New("first: redirect needs the operations prepare and return"))
	}
	return errors.Join(wrong...)
}

// Bank is one bank whose adapter runs elsewhere.
type Bank struct {
	info   banks.Info
	config Config
	caller Caller
	slots  chan struct{}
}

var (
	_ banks.Bank         = (*Bank)(nil)
	_ banks.Preparer     = (*Bank)(nil)
	_ banks.Prompter     = (*Bank)(nil)
	_ banks.Returner     = (*Bank)(nil)
	_ banks.Canceller    = (*Bank)(nil)
	_ banks.Finder       = finding{}
	_ banks.FundsChecker = (*Bank)(nil)
	_ banks.Prober       = (*Bank)(nil)
)

// Info implements banks.Bank.
func (b *Bank) Info() banks.Info {
	i := b.info
	i.Approaches, i.RedirectOrigins = slices.Clone(i.Approaches), slices.Clone(i.RedirectOrigins)
	return i
}

// Prepare implements banks.Preparer.
func (b *Bank) Prepare(ctx context.Context, o banks.Order) (banks.Initiation, error) {
	return b.initiation(ctx, adapter.OpPrepare, adapter.Request{Order: b.order(o)})
}

// Initiate implements banks.Bank: one request, to one process.
func (b *Bank) Initiate(ctx context.Context, o banks.Order) (banks.Initiation, error) {
	switch {
	case o.Debtor == "" && b.info.DebtorMandatory:
		return banks.Initiation{}, &banks.Error{Kind: banks.BadRequest, Code: "DEBTOR_ACCOUNT_MISSING"}
	case o.PSU.ID == "" && b.info.First == psd2.PromptIdentify:
		return banks.Initiation{}, &banks.Error{Kind: banks.BadRequest, Code: "PSU_ID_MISSING"}
	}
	return b.initiation(ctx, adapter.OpInitiate, adapter.Request{Order: b.order(o)})
}

// order is what the adapter gets of one: hints only where the profile has counted
// with their being granted.
func (b *Bank) order(o banks.Order) *adapter.Order {
	if !b.config.ExemptionHints {
		o.Exemptions = nil
	}
	return adapter.NewOrder(o)
}

// Answer implements banks.Prompter.
func (b *Bank) Answer(ctx context.Context, r banks.Ref, a psd2.PromptAnswer) (banks.Initiation, error) {
	answer := adapter.Answer(a)
	return b.initiation(ctx, adapter.OpAnswer, adapter.Request{Ref: adapter.NewRef(r), Answer: &answer})
}

// Return implements banks.Returner. An adapter without it wants nothing of what
// the payer brings.
func (b *Bank) Return(ctx context.Context, r banks.Ref, query url.Values) (banks.Initiation, error) {
	if !b.has(adapter.OpReturn) {
		return banks.Initiation{}, nil
	}
	return b.initiation(ctx, adapter.OpReturn, adapter.Request{Ref: adapter.NewRef(r), Query: query})
}

// Status implements banks.Bank.
func (b *Bank) Status(ctx context.Context, r banks.Ref) (banks.Status, error) {
	reply, err := b.call(ctx, adapter.OpStatus, adapter.Request{Ref: adapter.NewRef(r)})
	if err != nil {
		return banks.Status{}, err
	}
	return status(reply)
}

func status(reply *adapter.Reply) (banks.Status, error) {
	s := reply.Status
	if s == nil || s.Transaction == "" {
		return banks.Status{}, unreadable()
	}
	return banks.Status{Transaction: s.Transaction, SCA: s.SCA, Reason: s.Reason, Payer: s.Payer}, nil
}

// Cancel implements banks.Canceller.
func (b *Bank) Cancel(ctx context.Context, r banks.Ref) (banks.Cancellation, error) {
	reply, err := b.call(ctx, adapter.OpCancel, adapter.Request{Ref: adapter.NewRef(r)})
	if err != nil {
		return banks.Cancellation{}, err
	}
	c := reply.Cancellation
	if c == nil || !b.mayShow(c.Prompt) {
		return banks.Cancellation{}, unreadable()
	}
	return banks.Cancellation{Done: c.Done, Prompt: c.Prompt, State: c.State}, nil
}

// finding is a bank whose adapter can look an order up by our own reference.
type finding struct{ *Bank }

// Find implements banks.Finder.
func (b finding) Find(ctx context.Context, r banks.Ref) ([]byte, banks.Status, error) {
	reply, err := b.call(ctx, adapter.OpFind, adapter.Request{Ref: adapter.NewRef(r)})
	if err != nil {
		return nil, banks.Status{}, err
	}
	s, err := status(reply)
	if err != nil || reply.State == nil {
		return nil, banks.Status{}, unreadable()
	}
	return reply.State, s, nil
}

// FundsAvailable implements banks.FundsChecker.
func (b *Bank) FundsAvailable(ctx context.Context, r banks.Ref, account psd2.IBAN, amount psd2.Money) (bool, error) {
	reply, err := b.call(ctx, adapter.OpFunds, adapter.Request{Ref: adapter.NewRef(r), Account: string(account), Amount: &amount})
	if err != nil {
		return false, err
	}
	if reply.Funds == nil {
		return false, unreadable()
	}
	return *reply.Funds, nil
}

// Probe implements banks.Prober.
func (b *Bank) Probe(ctx context.Context) error {
	op := adapter.OpProbe
	if !b.has(op) {
		op = adapter.OpInfo // that the adapter lives is all that can be known
	}
	_, err := b.call(ctx, op, adapter.Request{})
	return err
}

func (b *Bank) has(op string) bool {
	return slices.Contains(b.config.Ops, op) || op == adapter.OpInfo || op == adapter.OpInitiate || op == adapter.OpStatus
}

func (b *Bank) initiation(ctx context.Context, op string, q adapter.Request) (banks.Initiation, error) {
	reply, err := b.call(ctx, op, q)
	if err != nil {
		return banks.Initiation{}, err
	}
	in := reply.Initiation
	if in == nil || in.State == nil && !(in.Ready || op == adapter.OpReturn) || !b.mayShow(in.Prompt) {
		return banks.Initiation{}, unreadable()
	}
	if !slices.Contains(b.info.Approaches, in.Approach) && op != adapter.OpReturn && !moves(in.Prompt) {
		return banks.Initiation{}, unreadable()
	}
	return banks.Initiation{State: in.State, Approach: in.Approach, Prompt: in.Prompt, Status: in.Status, SCA: in.SCA, Ready: in.Ready}, nil
}

// moves reports whether money may move without the hub handing the payer
// anything. That is believed of any adapter, also of one whose profile knows
// nothing of it: taken for a lost answer, it would be paid again.
func moves(p psd2.Prompt) bool { return p.Kind == psd2.PromptApp || p.Kind == psd2.PromptNone }

// mayShow holds a prompt to what a payer may be shown: a redirect only to the
// origins of the registry, the bank's words within bounds (C36).
func (b *Bank) mayShow(p psd2.Prompt) bool {
	switch {
	case p.Kind == psd2.PromptRedirect:
		u, err := url.Parse(p.RedirectURL)
		return err == nil && u.User == nil && u.Opaque == "" && !strings.ContainsAny(p.RedirectURL, "\\ \t\r\n") && len(p.RedirectURL) <= 8192 &&
			slices.ContainsFunc(b.info.RedirectOrigins, func(o string) bool { return strings.EqualFold(u.Scheme+"://"+u.Host, strings.TrimRight(o, "/")) })
	case p.Kind != psd2.PromptNone && p.Kind != psd2.PromptApp && !p.Kind.Relayed():
		return false
	case p.RedirectURL != "" || len(p.Methods) > 20 || len(p.Challenge.Data) > 20 || len(p.Challenge.Image) > 64<<10:
		return false
	}
	words := []string{p.Message, p.Method, p.Challenge.Additional}
	for _, m := range p.Methods {
		words = append(words, m.ID, m.Name)
	}
	for _, w := range append(words, p.Challenge.Data...) {
		if psd2.CheckText("prompt", w, 500) != nil {
			return false
		}
	}
	return true
}

func unreadable() error { return &banks.Error{Kind: banks.Uncertain, Code: "ANSWER_UNREADABLE"} }

// call makes one request. Only what was certainly not sent is unavailable.
func (b *Bank) call(ctx context.Context, op string, q adapter.Request) (*adapter.Reply, error) {
	if !b.has(op) {
		return nil, &banks.Error{Kind: banks.BadRequest, Code: "OPERATION_UNKNOWN"}
	}
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	default:
		return nil, &banks.Error{Kind: banks.Unavailable, Code: "ADAPTER_BUSY"}
	}
	if ctx.Err() != nil {
		return nil, &banks.Error{Kind: banks.Unavailable, Code: "NOT_SENT", Err: ctx.Err()}
	}
	ctx, cancel := context.WithTimeout(ctx, b.config.Timeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	q.Version, q.TimeoutMS = adapter.Version, max(time.Until(deadline).Milliseconds(), 1)
	raw, err := json.Marshal(q)
	if err != nil {
		return nil, &banks.Error{Kind: banks.BadRequest, Code: "REQUEST_UNWRITABLE"}
	}
	answer, sent, err := b.caller.Request(ctx, adapter.Subject(b.info.ID, op), raw)
	if err != nil {
		kind := banks.Uncertain
		if !sent {
			kind = banks.Unavailable
		}
		return nil, &banks.Error{Kind: kind, Code: "ADAPTER_NOT_ANSWERING", Err: err}
	}
	return read(answer)
}

// read takes a reply for what the protocol allows, and for nothing else.
func read(raw []byte) (*adapter.Reply, error) {
	var reply adapter.Reply
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if len(raw) > maxReply || d.Decode(&reply) != nil || d.More() || reply.Version != adapter.Version {
		return nil, unreadable()
	}
	if reply.Error != nil {
		return nil, reply.Error.Bank()
	}
	return &reply, nil
}
