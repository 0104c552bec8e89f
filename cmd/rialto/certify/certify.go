// Package certify runs the suite of all bank adapters (banks/bankstest) against
// the adapters this program holds, each at a sandbox bank of its own making:
// the suite must read the bank's books and play its payer, which no bank but a
// sandbox allows. Whoever has another bank writes a bankstest.Target; the guide
// is banks/README.md.
package certify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/banks/sandbox/trial"
	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
)

// Options say what is certified.
type Options struct {
	// Sandbox describes the banks. They are kept in memory and answer on a
	// loopback port, whatever its file and url say.
	Sandbox sandbox.Config
	// Banks are ids of the sandbox, as Select gives them.
	Banks []string
	// Adapters are the factories; the sandbox is reached with "berlingroup".
	Adapters map[string]banks.Factory
	// Done, if set, is told of every check when it has ended: the number of
	// them so far, and of how many.
	Done func(bank string, r bankstest.Result, n, of int)
}

// Report is how all banks did.
type Report struct {
	Banks []Bank `json:"banks"`
}

// Bank is how one bank's adapter did.
type Bank struct {
	ID      string             `json:"id"`
	Passed  int                `json:"passed"`
	Failed  int                `json:"failed"`
	Skipped int                `json:"skipped"`
	Checks  []bankstest.Result `json:"checks"`
}

// Failed is how many checks failed, of all banks.
func (r Report) Failed() (n int) {
	for _, b := range r.Banks {
		n += b.Failed
	}
	return n
}

// Needs says which banks can be certified, for who asks for another.
const Needs = "Certify needs a bank whose books it can read and whose payer it can play: " +
	"a sandbox bank, or in a test a bankstest.Target of your own (banks/README.md)"

// Select gives the ids that a word means: "all" banks of the sandbox that are
// not closed, or one of them. An error says why there is none.
func Select(cfg sandbox.Config, word string) ([]string, error) {
	var open, closed []string
	for _, b := range listed(cfg) {
		if b.Down {
			closed = append(closed, b.ID)
		} else {
			open = append(open, b.ID)
		}
	}
	switch {
	case word == "all" && len(open) > 0:
		return open, nil
	case slices.Contains(open, word):
		return []string{word}, nil
	case word == "all":
		return nil, errors.New("every bank of this sandbox is closed")
	case slices.Contains(closed, word):
		return nil, fmt.Errorf("%s is closed: it takes no orders", word)
	}
	return nil, fmt.Errorf("the sandbox has no bank %q, only %s. %s", word, strings.Join(append(open, closed...), ", "), Needs)
}

func listed(cfg sandbox.Config) []sandbox.Bank {
	if len(cfg.Banks) == 0 {
		return sandbox.DefaultBanks()
	}
	return cfg.Banks
}

// Run starts the sandbox, exercises the adapters bank by bank, and stops it. An
// error is about the sandbox or the end of ctx; what the checks found is in the
// Report.
func Run(ctx context.Context, o Options) (r Report, err error) {
	o.Sandbox.File, o.Sandbox.URL = "", ""
	s, err := sandbox.Open(o.Sandbox, sandbox.Options{})
	if err != nil {
		return r, err
	}
	defer func() { _ = s.Close() }() // in memory: nothing is left to save
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return r, err
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }() // ends with Close
	defer func() { _ = server.Close() }()
	defer run.Loop(ctx, slog.New(slog.DiscardHandler), "bank", s.Step, s.Wake())()
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	defer transport.CloseIdleConnections()
	op := psu.Operator{Client: &http.Client{Transport: transport}, Origin: "http://" + l.Addr().String()}

	checks := bankstest.Checks()
	for i, id := range o.Banks {
		done := func(result bankstest.Result, n int) {
			if o.Done != nil {
				o.Done(id, result, i*len(checks)+n, len(o.Banks)*len(checks))
			}
		}
		b, err := exercise(ctx, target(o, op, id), checks, id, done)
		if err != nil {
			return r, err
		}
		r.Banks = append(r.Banks, b)
	}
	return r, nil
}

// target is a bank of the sandbox with the program's own adapter, configured
// as the demo configures it.
func target(o Options, op psu.Operator, id string) bankstest.Target {
	list := listed(o.Sandbox)
	b := list[slices.IndexFunc(list, func(b sandbox.Bank) bool { return b.ID == id })]
	t := trial.Bank{Operator: op, ID: id, Named: b.PSUIDRequired || b.DebtorRequired, Notifies: true}
	return t.Target(func(base string, log *slog.Logger) (banks.Bank, error) {
		e := demo.BankEntries(op.Origin, op.Origin, []sandbox.Bank{b}, map[string]any{"base_url": base})[0]
		factory := o.Adapters[e.Adapter]
		if factory == nil {
			return nil, fmt.Errorf("there is no adapter %q", e.Adapter)
		}
		return factory(e, banks.Deps{Now: time.Now, Log: log})
	})
}

// exercise is bankstest.Exercise, with word of every check and an end when ctx
// ends: what a check found after that is not the adapter's doing.
func exercise(ctx context.Context, t bankstest.Target, checks []bankstest.Check, id string, done func(bankstest.Result, int)) (Bank, error) {
	b := Bank{ID: id, Checks: make([]bankstest.Result, 0, len(checks))}
	for n, c := range checks {
		result := bankstest.Do(ctx, c, t)
		if err := ctx.Err(); err != nil {
			return b, fmt.Errorf("stopped during %s of %s: %w", c.ID, id, err)
		}
		switch result.Outcome {
		case bankstest.Passed:
			b.Passed++
		case bankstest.Skipped:
			b.Skipped++
		default:
			b.Failed++
		}
		b.Checks = append(b.Checks, result)
		done(result, n+1)
	}
	return b, nil
}
