package bankstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// Target is an adapter and the bank it speaks to. The functions may be called
// from several goroutines.
type Target struct {
	// BankURL is where the bank's interface answers, with the base path the
	// adapter is configured with.
	BankURL string
	// Transport reaches the bank for the proxy; nil is plain TCP.
	Transport http.RoundTripper
	// New makes the adapter against base, which stands for BankURL. The payer
	// is still sent to the bank itself.
	New func(base string, log *slog.Logger) (banks.Bank, error)
	// Order gives a new order the bank would take, with ids of its own.
	Order func(amount psd2.Money) banks.Order
	// Ledger gives the orders the bank holds under an EndToEndId, none if it
	// never received one.
	Ledger func(ctx context.Context, endToEndID string) ([]Held, error)
	// Approve plays the payer who says yes at the bank: at PromptRedirect on the
	// pages behind a.Now.Prompt.RedirectURL, at PromptApp in the bank's app. It
	// returns the address to which the bank sends him back, "" if to none; the
	// suite takes its parameters to banks.Returner. At a bank that wants him
	// before the order (Info.First), it is also his login.
	Approve func(ctx context.Context, a Act) (landing string, err error)
	// Decline plays the payer who says no; nil skips what needs it.
	Decline func(ctx context.Context, a Act) (landing string, err error)
	// Answer gives what the payer answers to a prompt that is relayed (identify,
	// password, method, code); nil skips what needs it. A code may be good once.
	Answer func(ctx context.Context, a Act) (psd2.PromptAnswer, error)
	// Funds gives an account of a customer and how much is on it; nil skips the
	// check of banks.FundsChecker.
	Funds func(ctx context.Context) (psd2.IBAN, psd2.Money, error)
	// Notifies says that the bank tells Order.NotifyURL of news, wherever on this
	// machine that is.
	Notifies bool
	// Creates says which requests could create a payment; nil: every POST.
	Creates func(*http.Request) bool
	// ForgeRedirect puts another redirect into a bank's good answer to an
	// initiation; nil skips what needs it.
	ForgeRedirect func(answer []byte, href string) []byte
	// Secrets are words that must never be in an error or a log, beside the
	// order's accounts and names: API keys, tokens.
	Secrets []string
}

// Act is the moment at which a payer has to do something.
type Act struct {
	Order banks.Order
	Now   banks.Initiation // the latest: its Prompt says what is wanted of him
	// Cancelling: it is the cancellation of the order that he authorises.
	Cancelling bool
}

// Held is an order as the bank's ledger has it.
type Held struct {
	Amount   psd2.Money
	Creditor psd2.IBAN
	Booked   bool // the payer's account was debited
}

// Check is one behaviour. Run returns nil, an error that says what went wrong,
// or a Skip.
type Check struct {
	ID    string // stable, e.g. lost-answer
	Title string // the rule in one sentence
	Run   func(ctx context.Context, e *Env) error
}

// Skip is the error of a check that could not be made.
type Skip string

func (s Skip) Error() string { return string(s) }

// Env is what one check works with: its own proxy and its own adapter.
type Env struct {
	Target
	Proxy *Proxy
	Bank  banks.Bank

	base string
	log  *slog.Logger
	mu   sync.Mutex
	said bytes.Buffer // logs and errors
	hide []string     // what may not be in said
}

func newEnv(t Target) (*Env, error) {
	u, err := url.Parse(t.BankURL)
	if err != nil {
		return nil, fmt.Errorf("target: bank url: %w", err)
	}
	if t.Creates == nil {
		t.Creates = func(r *http.Request) bool { return r.Method == http.MethodPost }
	}
	proxy, err := newProxy(u, t.Transport, t.Creates)
	if err != nil {
		return nil, err
	}
	e := &Env{Target: t, Proxy: proxy, base: proxy.URL + strings.TrimRight(u.Path, "/"), hide: t.Secrets}
	e.log = slog.New(slog.NewJSONHandler(e, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if e.Bank, err = t.New(e.base, e.log); err != nil {
		proxy.Close()
		return nil, fmt.Errorf("target: the adapter cannot be made: %w", err)
	}
	return e, nil
}

// Write collects the adapter's log.
func (e *Env) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.said.Write(p)
}

// NewOrder is Target.Order, remembering what of it is secret.
func (e *Env) NewOrder(minor int64) banks.Order {
	o := e.Order(psd2.Euro(minor))
	e.secret(string(o.Creditor.IBAN), string(o.Debtor), o.Creditor.Name)
	return o
}

func (e *Env) secret(words ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range words {
		if len(w) > 3 {
			e.hide = append(e.hide, w)
		}
	}
}

// Initiate is Bank.Initiate; it holds the rules that hold for every call: a
// typed error that says nothing secret, and a redirect to the bank only. At a
// bank that wants the payer to log in first, he does, out of reach of the
// faults that are set.
func (e *Env) Initiate(ctx context.Context, o banks.Order) (banks.Initiation, error) {
	if e.Bank.Info().First == psd2.PromptRedirect && o.State == nil {
		state, err := e.loggedIn(ctx, o)
		if err != nil {
			return banks.Initiation{}, err
		}
		o.State = state
	}
	in, err := e.Bank.Initiate(ctx, o)
	if err != nil {
		return in, e.judge("Initiate", err)
	}
	return in, e.prompted("Initiate", in.Prompt)
}

// prompted holds the rules for whatever a bank wants of the payer.
func (e *Env) prompted(call string, p psd2.Prompt) error {
	if (p.Kind == psd2.PromptRedirect) != (p.RedirectURL != "") {
		return broken(call + " gives a redirect that is none")
	}
	if p.RedirectURL == "" {
		return nil
	}
	u, err := url.Parse(p.RedirectURL)
	if err != nil || !containsFold(e.Bank.Info().RedirectOrigins, u.Scheme+"://"+u.Host) {
		return broken(call + " sends the payer outside Info.RedirectOrigins")
	}
	e.secret(p.RedirectURL)
	if len(u.Path) > 24 { // a path with a token in it
		e.secret(u.Path)
	}
	return nil
}

// Status is Bank.Status under the same rules.
func (e *Env) Status(ctx context.Context, r banks.Ref) (banks.Status, error) {
	s, err := e.Bank.Status(ctx, r)
	e.secret(s.Payer.Name, string(s.Payer.IBAN))
	return s, e.judge("Status", err)
}

// broken is a rule that was broken; it is never mistaken for a bank's error.
type broken string

func (b broken) Error() string { return string(b) }

func (e *Env) judge(call string, err error) error {
	if err == nil {
		return nil
	}
	fmt.Fprintf(e, "%v\n%+v\n", err, err)
	for cause := errors.Unwrap(err); cause != nil; cause = errors.Unwrap(cause) {
		fmt.Fprintf(e, "%v\n", cause)
	}
	b, ok := err.(*banks.Error) //nolint:errorlint // the seam promises the type itself, not a wrapped one
	if !ok {
		return broken(fmt.Sprintf("%s returned a %T, not a *banks.Error", call, err))
	}
	switch b.Kind {
	case banks.Refused, banks.Unavailable, banks.Uncertain, banks.BadRequest, banks.NotFound:
		return err
	}
	return broken(fmt.Sprintf("%s returned the unknown kind %q", call, b.Kind))
}

// leak names a secret that an error or a log line holds.
func (e *Env) leak() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.hide {
		if w != "" && strings.Contains(e.said.String(), w) {
			return broken(fmt.Sprintf("an error or a log line holds a secret that begins with %q", w[:min(4, len(w))]))
		}
	}
	return nil
}

// follow asks for the status until it is final, and checks on the way that it
// never goes back.
func (e *Env) follow(ctx context.Context, o banks.Order, in banks.Initiation) (banks.Status, error) {
	last := psd2.StandingOf(in.Status)
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		s, err := e.Status(ctx, e.Ref(o, in))
		if err != nil {
			return s, err
		}
		standing := psd2.StandingOf(s.Transaction)
		if standing != psd2.StandingKeep {
			if standing < last {
				return s, broken(fmt.Sprintf("the status went back to %s", s.Transaction))
			}
			last = standing
		}
		if standing >= psd2.StandingExecuted {
			return s, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s, broken(fmt.Sprintf("no final status in time; the last was %s", s.Transaction))
		}
	}
}

// held reads the ledger and requires a number of orders.
func (e *Env) held(ctx context.Context, endToEndID string, want int) ([]Held, error) {
	orders, err := e.Ledger(ctx, endToEndID)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if len(orders) != want {
		return orders, broken(fmt.Sprintf("the bank holds %d orders, want %d", len(orders), want))
	}
	return orders, nil
}

// wantKind requires an adapter's error of a kind.
func wantKind(err error, kind banks.Kind) error {
	var b *banks.Error
	switch {
	case err == nil:
		return broken("the call succeeded, want " + string(kind))
	case !errors.As(err, &b):
		return err
	case b.Kind != kind:
		return broken(fmt.Sprintf("the error is %q (%v), want %q", b.Kind, err, kind))
	}
	return nil
}

func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}

var _ io.Writer = (*Env)(nil)
