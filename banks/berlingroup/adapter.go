package berlingroup

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// Bank is one NextGenPSD2 bank. It keeps connections and what the bank says of
// its OAuth server, but no state of any order, and is safe for concurrent use.
type Bank struct {
	info   banks.Info
	p      *profile
	client *client
	random io.Reader
	oauth  oauthServer
}

var (
	_ banks.Bank         = (*Bank)(nil)
	_ banks.Canceller    = (*Bank)(nil)
	_ banks.FundsChecker = (*Bank)(nil)
	_ banks.Preparer     = (*Bank)(nil)
	_ banks.Prompter     = (*Bank)(nil)
	_ banks.Returner     = (*Bank)(nil)
)

// Open is the adapter's banks.Factory.
func Open(e banks.Entry, d banks.Deps) (banks.Bank, error) {
	var c Config
	if err := e.DecodeProfile(&c); err != nil {
		return nil, err
	}
	return New(e.ID, c, d)
}

// New makes the adapter of the bank id. The error names everything that is
// wrong with the profile.
func New(id string, c Config, d banks.Deps) (*Bank, error) {
	p, err := c.check()
	if err != nil {
		return nil, fmt.Errorf("bank %s: %w", id, err)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bank{p: p, client: newClient(id, p, d), random: rand.Reader, info: banks.Info{
		ID:              id,
		Approaches:      p.Approaches,
		RiskAtOnce:      c.RiskAtOnce || c.ExemptionHint.Header != "", // who is asked for an exemption may grant it
		DelegatesSCA:    c.DelegatesSCA,
		RedirectLife:    c.RedirectLife,
		RedirectOrigins: p.origins,
		DebtorMandatory: p.DebtorAccount == DebtorMandatory,
	}}
	switch {
	case p.OAuth.Before:
		b.info.First = psd2.PromptRedirect
	case p.PSUID == PSUIDMandatory:
		b.info.First = psd2.PromptIdentify
	}
	return b, nil
}

// Info implements banks.Bank. Dedup is zero: the standard has none.
func (b *Bank) Info() banks.Info {
	i := b.info
	i.Approaches, i.RedirectOrigins = slices.Clone(i.Approaches), slices.Clone(i.RedirectOrigins)
	return i
}

// state is what Initiate hands to the hub. The two digests let Status notice a
// bank that executes something else than we ordered, without keeping the
// account here.
type state struct {
	Version int    `json:"v"`
	ID      string `json:"id,omitempty"`      // paymentId
	Payment string `json:"payment,omitempty"` // URL of the payment resource; "" before there is one
	Status  string `json:"status,omitempty"`  // URL of its status
	SCA     string `json:"sca,omitempty"`     // URL of its authorisation; "" when the bank gave none
	Amount  string `json:"amount,omitempty"`  // digests
	Payee   string `json:"payee,omitempty"`

	Prompt  psd2.Prompt `json:"prompt,omitzero"`   // what the bank waits for, if it is relayed
	Method  string      `json:"method,omitempty"`  // how the answer is sent: POST or PUT
	Next    string      `json:"next,omitempty"`    // and where to
	Known   bool        `json:"known,omitempty"`   // the bank has the PSU-ID
	Confirm string      `json:"confirm,omitempty"` // where a confirmation code of the return is sent
	Login   *login      `json:"login,omitempty"`   // OAuth
}

func (s state) token() string {
	if s.Login == nil {
		return ""
	}
	return s.Login.Token
}

func (s state) opaque() []byte {
	raw, err := json.Marshal(s)
	if err != nil {
		panic("berlingroup: a state of strings cannot be written: " + err.Error())
	}
	return raw
}

func digest(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:16])
}

// visit is what all requests of one call of the hub share.
type visit struct {
	requestID string
	traceID   string
	token     string
	psu       psd2.PSU
	returnURL string
	failURL   string
	notifyURL string
}

// visit begins a call about an order that exists.
func (b *Bank) visit(ctx context.Context, r banks.Ref, st state) visit {
	return visit{requestID: r.RequestID, traceID: r.TraceID, token: b.bearer(ctx, st, r), psu: r.PSU, returnURL: r.ReturnURL, failURL: r.FailURL}
}

// id gives the X-Request-ID of a step. It must differ between requests, so all
// but the first of a call carry ids derived from it (UUIDv5).
func (v visit) id(step string) string {
	if step == "" {
		return v.requestID
	}
	return uuid.NewSHA1(uuid.MustParse(v.requestID), []byte(step)).String()
}

// Initiate implements banks.Bank. Its POST is the only request that can create
// a payment; where the bank wants the authorisation to be started explicitly, a
// second one does that.
func (b *Bank) Initiate(ctx context.Context, o banks.Order) (banks.Initiation, error) {
	before, err := b.loggedIn(o)
	if err != nil {
		return banks.Initiation{}, err
	}
	body, header, err := b.compose(o)
	if err != nil {
		return banks.Initiation{}, err
	}
	rep, failure := b.client.do(ctx, request{what: "initiate", method: http.MethodPost, url: b.p.base.JoinPath("v1/payments", b.p.Product),
		header: header, body: body, xml: b.p.xml, token: before.token(), requestID: o.RequestID, traceID: o.TraceID})
	if failure != nil {
		return banks.Initiation{}, failure
	}
	if rep.status != http.StatusCreated && rep.status != http.StatusOK && rep.status != http.StatusAccepted {
		return banks.Initiation{}, failed(rep, true, b.client.now())
	}
	return b.accepted(ctx, rep, o, before)
}

// accepted reads the answer to an initiation. From here on the order exists at
// the bank, so whatever is wrong with the answer is uncertain.
func (b *Bank) accepted(ctx context.Context, rep *reply, o banks.Order, before state) (banks.Initiation, error) {
	odd := func(code string) (banks.Initiation, error) {
		return banks.Initiation{}, &banks.Error{Kind: banks.Uncertain, HTTPStatus: rep.status, Code: code}
	}
	a, ok := parse(rep.json)
	if !ok {
		return odd("ANSWER_UNREADABLE")
	}
	status := b.status(a)
	if psd2.StandingOf(status) == psd2.StandingRefused {
		return banks.Initiation{}, &banks.Error{Kind: banks.Refused, HTTPStatus: rep.status, Code: a.reason(b.p.ReasonFields)}
	}
	payment, ok := b.paymentURL(a.text("paymentId"))
	if !ok || status == "" {
		return odd("ANSWER_INCOMPLETE")
	}
	st := state{Version: 1, ID: a.text("paymentId"), Payment: payment.String(), Status: payment.JoinPath("status").String(),
		Amount: digest(o.Amount.Decimal() + o.Amount.Currency), Payee: digest(string(o.Creditor.IBAN)),
		Known: o.PSU.ID != "", Login: before.Login}
	for _, l := range []struct {
		name string
		url  *string
	}{{"self", &st.Payment}, {"status", &st.Status}} {
		if u, ok := b.resolve(a.link(l.name)); ok {
			*l.url = u.String()
		}
	}
	v := visit{requestID: o.RequestID, traceID: o.TraceID, token: st.token(), psu: o.PSU, returnURL: o.ReturnURL, failURL: o.FailURL, notifyURL: o.NotifyURL}
	in, failure := b.proceed(ctx, &st, rep, v)
	if failure != nil {
		return banks.Initiation{}, &banks.Error{Kind: banks.Uncertain, HTTPStatus: failure.HTTPStatus, Code: failure.Code, Err: failure.Err}
	}
	in.Status = status
	return in, nil
}

func (b *Bank) status(a answer) string {
	code := a.code("transactionStatus")
	if alias, ok := b.p.StatusAliases[code]; ok {
		return alias
	}
	return code
}

// restore reads a state that this adapter made. It comes out of our own store,
// but its URLs are checked again before use.
func (b *Bank) restore(r banks.Ref) (state, error) {
	var st state
	if json.Unmarshal(r.State, &st) != nil || st.Version != 1 {
		return st, unsendable("STATE_INVALID")
	}
	if _, err := uuid.Parse(r.RequestID); err != nil {
		return st, unsendable("REQUEST_ID_INVALID")
	}
	return st, nil
}

func unsendable(code string) error { return &banks.Error{Kind: banks.BadRequest, Code: code} }
