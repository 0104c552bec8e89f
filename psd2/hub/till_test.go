package hub_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/psd2/testkit/account"
)

// till is a hub whose merchant's account has a channel. Deposits are made by
// hand, the way the banks' answers would make them.
type till struct {
	t        *testing.T
	clock    *testkit.Clock
	db       *store.DB
	account  *account.Account
	gate     *doorman
	vop      *vop
	hub      *hub.Hub
	merchant *psd2.Merchant
}

// bothTills runs a test on SQLite and on PostgreSQL.
func bothTills(t *testing.T, test func(*testing.T, *till)) {
	t.Helper()
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) { test(t, newTill(t, clock, db)) })
}

func oneTill(t *testing.T) *till {
	t.Helper()
	clock := testkit.NewClock()
	return newTill(t, clock, testkit.SQLite(t, clock.Now))
}

func newTill(t *testing.T, clock *testkit.Clock, db *store.DB) *till {
	t.Helper()
	w := &till{t: t, clock: clock, db: db, gate: &doorman{decision: psd2.GateAllow}, vop: &vop{result: psd2.VoPResult{Match: psd2.MatchExact}}}
	w.merchant = &psd2.Merchant{
		ID: merchantID, Name: "Lucky Lagoon", ReturnURIs: []string{returnURI},
		Accounts: []psd2.PayeeAccount{{ID: accountID, Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000"}},
	}
	w.account = account.New("house", psd2.Party{Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000"}, 1_000_000, clock.Now)
	w.hub = w.newHub("till-1", db)
	return w
}

func (w *till) newHub(name string, db *store.DB) *hub.Hub {
	h := hub.New(hub.Config{PublicURL: "https://pay.example"}, hub.Deps{
		Store: db, Banks: banks.NewRegistry(nil, nil, w.clock.Now), Holder: name, Now: w.clock.Now, Random: rand.Reader,
		Metrics: prometheus.NewRegistry(), Channels: map[string]banks.Channel{accountID: w.account}, Gate: w.gate, VoP: w.vop,
	})
	w.t.Cleanup(h.Close)
	return patient(h)
}

// doorman decides as it is told.
type doorman struct {
	mu       sync.Mutex
	decision psd2.GateDecision
	reason   string
	err      error
	asked    []psd2.TransferFacts
}

// MayPayIn lets every deposit in.
func (g *doorman) MayPayIn(context.Context, *psd2.Payment, *psd2.Merchant) (hub.PayIn, error) {
	return hub.PayIn{}, nil
}

func (g *doorman) MayPayOut(_ context.Context, f psd2.TransferFacts) (psd2.GateDecision, string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, f)
	return g.decision, g.reason, g.err
}

func (g *doorman) decide(d psd2.GateDecision, reason string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.decision, g.reason, g.err = d, reason, err
}

type vop struct {
	result psd2.VoPResult
	err    error
}

func (v *vop) Verify(context.Context, psd2.Party) (psd2.VoPResult, error) {
	return v.result, v.err
}

var anna = psd2.Party{Name: "BEISPIEL, ANNA", IBAN: "DE02120300000000202051"}

// deposit is a payment of the player's, executed by his bank; source is what
// that bank told of him.
func (w *till) deposit(player string, minor int64, source psd2.Party) *psd2.Payment {
	w.t.Helper()
	p := w.started(player, minor)
	w.paid(p, source)
	return w.load(p.ID)
}

// started is a payment whose payer is at his bank.
func (w *till) started(player string, minor int64) *psd2.Payment {
	w.t.Helper()
	var p *psd2.Payment
	err := w.db.Tx(ctx, func(tx *store.Tx) (err error) {
		p, _, err = w.hub.StartIn(tx, w.merchant, hub.StartRequest{
			Amount: psd2.Euro(minor), PayeeAccountID: accountID, Reference: "Deposit " + player,
			Player: psd2.Player{Reference: player, Name: "Anna Beispiel"}, ReturnURI: returnURI,
		})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.attempt(p)
}

func (w *till) attempt(p *psd2.Payment) *psd2.Payment {
	w.t.Helper()
	now := w.clock.Now()
	p, err := w.db.UpdatePayment(ctx, p.ID, func(p *psd2.Payment) error {
		id := psd2.NewID(psd2.PrefixAttempt, now, rand.Reader)
		if err := p.BeginAttempt(psd2.Attempt{ID: id, BankID: "b", EndToEndID: psd2.NewEndToEndID(id)}, psd2.PSU{}, now); err != nil {
			return err
		}
		return p.Initiated(id, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example"}, []byte("s"), now)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *till) paid(p *psd2.Payment, source psd2.Party) {
	w.t.Helper()
	if _, err := w.db.UpdatePayment(ctx, p.ID, func(p *psd2.Payment) error {
		p.Report(p.Last().ID, psd2.Report{Status: "ACSC", Payer: source}, w.clock.Now())
		p.JudgePayer(func(i psd2.IBAN) string { return sourceOf(i) }, hub.SameHolder, w.clock.Now())
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}

// sourceOf names an account the same each time.
func sourceOf(i psd2.IBAN) string {
	var h [16]byte
	copy(h[:], i[len(i)-16:])
	return psd2.DeriveID(psd2.PrefixSource, h)
}

func (w *till) load(id string) *psd2.Payment {
	w.t.Helper()
	p, err := w.db.Payment(ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *till) tryRefund(p *psd2.Payment, minor int64) (t *psd2.Transfer, err error) {
	err = w.db.Tx(ctx, func(tx *store.Tx) error {
		t, err = w.hub.RefundIn(tx, w.merchant, p.ID, hub.RefundRequest{Amount: psd2.Euro(minor), Reference: "Refund"})
		return err
	})
	return t, err
}

func (w *till) refund(p *psd2.Payment, minor int64) *psd2.Transfer {
	w.t.Helper()
	t, err := w.tryRefund(p, minor)
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

func (w *till) tryPayout(r hub.PayoutRequest) (t *psd2.Transfer, err error) {
	if r.Amount.AmountMinor == 0 {
		r.Amount = psd2.Euro(5000)
	}
	r.AccountID, r.Reference = accountID, "Payout"
	err = w.db.Tx(ctx, func(tx *store.Tx) error {
		t, err = w.hub.PayoutIn(tx, w.merchant, r)
		return err
	})
	return t, err
}

func (w *till) payout(r hub.PayoutRequest) *psd2.Transfer {
	w.t.Helper()
	t, err := w.tryPayout(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

// toSource pays a player back to where his deposit came from.
func (w *till) toSource(player string) *psd2.Transfer {
	w.t.Helper()
	w.deposit(player, 10_000, anna)
	return w.payout(hub.PayoutRequest{Player: psd2.Player{Reference: player}, SourceID: sourceOf(anna.IBAN)})
}

// step does the transfers' work that is due now.
func (w *till) step() {
	w.t.Helper()
	if _, err := w.hub.StepTransfers(ctx, w.clock.Now()); err != nil {
		w.t.Fatal(err)
	}
}

// run lets time pass, doing the transfers' work when it is due.
func (w *till) run(d time.Duration) {
	w.t.Helper()
	end := w.clock.Now().Add(d)
	for {
		w.step()
		_, next, err := w.db.DueTransfers(ctx, w.clock.Now(), 1)
		if err != nil {
			w.t.Fatal(err)
		}
		now := w.clock.Now()
		if !now.Before(end) {
			return
		}
		if next.IsZero() || next.After(end) {
			next = end
		}
		w.clock.Add(next.Sub(now))
	}
}

// read reads the statement to its end.
func (w *till) read() {
	w.t.Helper()
	w.sequence()
	for {
		now := w.clock.Now()
		next, err := w.hub.StepStatements(ctx, now)
		if err != nil {
			w.t.Fatal(err)
		}
		if next.After(now) {
			return
		}
	}
}

// sequence gives the journal its order.
func (w *till) sequence() {
	w.t.Helper()
	s := w.db.Sequencer("till")
	for {
		now := w.clock.Now()
		next, err := s.Step(ctx, now)
		if err != nil {
			w.t.Fatal(err)
		}
		if next.After(now) {
			return
		}
	}
}

func (w *till) want(t *psd2.Transfer, s psd2.TransferState, why psd2.FailureReason, retryable bool) *psd2.Transfer {
	w.t.Helper()
	t, err := w.db.Transfer(ctx, t.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	if t.State != s || t.Failure != why || t.Retryable != retryable {
		w.t.Fatalf("%s %q retryable %v, want %s %q %v", t.State, t.Failure, t.Retryable, s, why, retryable)
	}
	return t
}

func (w *till) wantEvents(id, want string) {
	w.t.Helper()
	events, err := w.db.PaymentEvents(ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	var got []string
	for i, e := range events {
		if e.Sequence != int64(i+1) {
			w.t.Fatalf("event %d has sequence %d", i+1, e.Sequence)
		}
		_, name, _ := strings.Cut(e.Type, ".")
		got = append(got, name)
	}
	if strings.Join(got, " ") != want {
		w.t.Fatalf("events %v\nwant   %s", got, want)
	}
}

func equalViews(t *testing.T, a, b psd2.TransferView) bool {
	t.Helper()
	return slices.Equal(marshal(t, a), marshal(t, b))
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
