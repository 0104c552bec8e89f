package bankstest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// ChannelTarget is a channel to a merchant's own account and the bank that
// keeps it. The functions may be called from several goroutines.
type ChannelTarget struct {
	// BankURL is where the bank's interface answers, with the base path the
	// channel is configured with.
	BankURL string
	// Transport reaches the bank for the proxy; nil is plain TCP.
	Transport http.RoundTripper
	// New makes the channel against base, which stands for BankURL.
	New func(base string, log *slog.Logger) (banks.Channel, error)
	// Transfer gives a new transfer the bank would execute, with ids of its own.
	Transfer func(amount psd2.Money) banks.Transfer
	// Ledger gives the orders the bank holds under an EndToEndId.
	Ledger func(ctx context.Context, endToEndID string) ([]Held, error)
	// Credit has somebody pay an amount into the account and returns its
	// EndToEndId; nil skips what needs it.
	Credit func(ctx context.Context, amount psd2.Money) (endToEndID string, err error)
	// Pays says which requests could move money; nil: a POST to …/payments.
	Pays func(*http.Request) bool
	// Secrets are words that must never be in an error or a log, beside the
	// accounts and names of transfers.
	Secrets []string
}

// ChannelCheck is one behaviour of a channel.
type ChannelCheck struct {
	ID    string
	Title string // the rule in one sentence
	Run   func(ctx context.Context, e *ChannelEnv) error
}

// ChannelEnv is what one check works with: its own proxy and its own channel.
type ChannelEnv struct {
	*Env
	Target  ChannelTarget
	Channel banks.Channel
}

func newChannelEnv(t ChannelTarget) (*ChannelEnv, error) {
	u, err := url.Parse(t.BankURL)
	if err != nil {
		return nil, fmt.Errorf("target: bank url: %w", err)
	}
	if t.Pays == nil {
		t.Pays = func(r *http.Request) bool {
			return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/payments")
		}
	}
	proxy, err := newProxy(u, t.Transport, t.Pays)
	if err != nil {
		return nil, err
	}
	e := &ChannelEnv{Target: t, Env: &Env{Target: Target{Ledger: t.Ledger}, Proxy: proxy,
		base: proxy.URL + strings.TrimRight(u.Path, "/"), hide: t.Secrets}}
	e.log = slog.New(slog.NewJSONHandler(e, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if e.Channel, err = t.New(e.base, e.log); err != nil {
		proxy.Close()
		return nil, fmt.Errorf("target: the channel cannot be made: %w", err)
	}
	return e, nil
}

// New is a transfer whose payee is remembered as secret.
func (e *ChannelEnv) New(minor int64) banks.Transfer {
	t := e.Target.Transfer(psd2.Euro(minor))
	e.secret(string(t.Creditor.IBAN), t.Creditor.Name)
	return t
}

// Pay is Channel.Pay under the rules for every call: a typed error that says
// nothing secret.
func (e *ChannelEnv) Pay(ctx context.Context, t banks.Transfer) (banks.TransferStatus, error) {
	s, err := e.Channel.Pay(ctx, t)
	return s, e.judge("Pay", err)
}

// Find asks for a transfer by its references under the same rules.
func (e *ChannelEnv) Find(ctx context.Context, t banks.Transfer) (banks.TransferStatus, error) {
	s, err := e.Channel.Find(ctx, banks.TransferRef{MessageID: t.MessageID, EndToEndID: t.EndToEndID, RequestID: newUUID(), TraceID: t.TraceID})
	return s, e.judge("Find", err)
}

// Bookings reads everything after a cursor, page by page.
func (e *ChannelEnv) Bookings(ctx context.Context, after string, page int) (list []banks.Booking, next string, err error) {
	for next = after; ; {
		more, cursor, err := e.Channel.Bookings(ctx, next, page)
		if err := e.judge("Bookings", err); err != nil {
			return nil, next, err
		}
		if len(more) == 0 {
			if cursor != next {
				return nil, next, broken("the cursor moves although there is nothing new")
			}
			return list, next, nil
		}
		if cursor == next {
			return nil, next, broken("the cursor stands still although there are bookings")
		}
		list, next = append(list, more...), cursor
	}
}

// DoChannel runs one check with a proxy and a channel of its own. A panic of
// the channel is a failure, and so is a secret in whatever it said.
func DoChannel(ctx context.Context, c ChannelCheck, t ChannelTarget) (r Result) {
	r = Result{ID: c.ID, Title: c.Title, Outcome: Passed}
	start := time.Now()
	defer func() { r.Took = time.Since(start) }()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	e, err := newChannelEnv(t)
	if err == nil {
		defer e.Proxy.Close()
		err = guarded(func() error { return c.Run(ctx, e) })
	}
	if e != nil && err == nil {
		err = e.leak()
	}
	if skip, ok := err.(Skip); ok { //nolint:errorlint // a check returns it itself
		r.Outcome, r.Detail = Skipped, string(skip)
	} else if err != nil {
		r.Outcome, r.Detail = Failed, err.Error()
	}
	return r
}

// RunChannel is the suite of channels as a test: one subtest a check.
func RunChannel(t *testing.T, target ChannelTarget) {
	t.Helper()
	for _, c := range ChannelChecks() {
		t.Run(c.ID, func(t *testing.T) {
			switch r := DoChannel(t.Context(), c, target); r.Outcome {
			case Failed:
				t.Errorf("%s: %s", r.Title, r.Detail)
			case Skipped:
				t.Skip(r.Detail)
			}
		})
	}
}
