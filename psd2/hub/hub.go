package hub

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Config is what an operator may change. Zero values are usable.
type Config struct {
	// PublicURL is where payers reach the hosted page, without a slash at the end.
	PublicURL string `yaml:"public_url"`
	// ExpireAfter is how long a payer has (default 15 minutes).
	ExpireAfter time.Duration `yaml:"expire_after"`
	// BankTimeout bounds one call to a bank (default 20 s).
	BankTimeout time.Duration `yaml:"bank_timeout"`
	// Patience is how long a bank is waited for before the outcome counts as
	// unknown: for any answer after the payer's return, and for the
	// confirmation of an order it has accepted. Default 12 s: the ten of
	// Reg. (EU) 2024/886 and two for the way.
	Patience time.Duration `yaml:"patience"`
	// NeverReceivedAfter is how long after a refund or payout was sent its
	// bank's "not found" proves that it never came (default 2 minutes, at least
	// three times BankTimeout).
	NeverReceivedAfter time.Duration `yaml:"never_received_after"`
	// ReadStatementsEvery is how often payee accounts are read (default 5 s).
	ReadStatementsEvery time.Duration `yaml:"read_statements_every"`
	// Followers is how many orders this process asks banks about at once (default
	// 32); with 1 it asks one after the other, as they are due.
	Followers int `yaml:"followers"`
	// MissingAfter is how long an executed order may stay off the statement
	// before it counts as missing, and after which it counts as late (default
	// 24 hours).
	MissingAfter time.Duration `yaml:"missing_after"`
	// DecideAfter is how long an outcome must have been unknown before
	// operators may decide it in the bank's place (default one hour: by then the
	// bank has been asked some twenty times).
	DecideAfter time.Duration `yaml:"decide_after"`
	// RefusalBeat is how long after the payer pressed a refusal becomes true,
	// whoever refuses (default 400 ms). It has to cover the gate's p99.9, limit
	// service included: "rialto bench refusals".
	RefusalBeat time.Duration `yaml:"refusal_beat"`
}

// SubmitTimeout is how long an initiation can be under way at most; an older
// one has lost its caller. It must exceed BankTimeout clearly.
func (c Config) SubmitTimeout() time.Duration { return c.withDefaults().BankTimeout * 2 }

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.ExpireAfter, 15*time.Minute)
	def(&c.BankTimeout, 20*time.Second)
	def(&c.Patience, 12*time.Second)
	def(&c.NeverReceivedAfter, 2*time.Minute)
	c.NeverReceivedAfter = max(c.NeverReceivedAfter, 3*c.BankTimeout)
	def(&c.ReadStatementsEvery, 5*time.Second)
	def(&c.MissingAfter, 24*time.Hour)
	def(&c.DecideAfter, time.Hour)
	def(&c.RefusalBeat, 400*time.Millisecond)
	if c.Followers <= 0 {
		c.Followers = 32
	}
	return c
}

// Deps are the hub's neighbours.
type Deps struct {
	Store   *store.DB
	Banks   *banks.Registry
	Holder  string // names this process in leases
	Now     func() time.Time
	Wait    func(ctx context.Context, until time.Time) // nil: refusals are not delayed, see beat
	Random  io.Reader
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none

	// Channels reach payee accounts at their banks, by the accounts' ids. An
	// account without one takes deposits, but pays nothing out and is not
	// reconciled.
	Channels map[string]banks.Channel
	Gate     Gate // nil: nothing is held back
	// Confirmation is asked before each deposit's order; nil: the bank's own
	// authentication is all there is.
	Confirmation Confirmation
	VoP          VoP // nil: no payee can be verified, so payouts stay in the closed loop
}

// Hub is safe for concurrent use, and several processes may run one each on
// the same database.
type Hub struct {
	cfg     Config
	store   *store.DB
	banks   *banks.Registry
	now     func() time.Time
	wait    func(context.Context, time.Time)
	random  io.Reader
	log     *slog.Logger
	metrics metrics
	holder  string
	wake    chan struct{}

	channels      map[string]banks.Channel
	gate          Gate
	confirmation  Confirmation
	vop           VoP
	transfersWake chan struct{}
	gateWaits     atomic.Bool // the gate could not decide about a transfer yet

	slots   chan struct{}  // of background questions
	linger  time.Duration  // how long a step waits for their answers
	perBank sync.Map       // chan struct{} by bank id, the same for one bank
	looking sync.WaitGroup // background questions under way
	// What merchants were last told of a bank (1: unavailable), under which fence;
	// HealthStep's own.
	told      map[string]int64
	toldFence int64

	ledger    *store.Walk[dues]
	keysUntil time.Time // requests up to then have no orphaned keys; SweepStep's own

	asking sync.Map // ids of payments whose banks are being asked for a page
}

// New makes a hub.
func New(c Config, d Deps) *Hub {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	c = c.withDefaults()
	h := &Hub{
		cfg: c, store: d.Store, banks: d.Banks, now: d.Now, wait: d.Wait, random: d.Random, log: d.Log,
		metrics: newMetrics(d.Metrics), holder: d.Holder, told: map[string]int64{}, wake: make(chan struct{}, 1), slots: make(chan struct{}, c.Followers), linger: followLinger,
		channels: d.Channels, gate: d.Gate, confirmation: d.Confirmation, vop: d.VoP, transfersWake: make(chan struct{}, 1),
	}
	h.ledger = h.newLedger()
	return h
}

// Wake receives when Step has something to do sooner than it said.
func (h *Hub) Wake() <-chan struct{} { return h.wake }

// Payment loads a payment.
func (h *Hub) Payment(ctx context.Context, id string) (*psd2.Payment, error) {
	if !psd2.IsID(psd2.PrefixPayment, id) {
		return nil, psd2.NotFound("payment")
	}
	return h.store.Payment(ctx, id)
}

// Merchant loads a merchant; the result is shared and must not be changed.
func (h *Hub) Merchant(ctx context.Context, id string) (*psd2.Merchant, error) {
	return h.store.Merchant(ctx, id)
}

// Banks lists the banks a payer may choose from.
func (h *Hub) Banks() []banks.Listing { return h.banks.List() }

// Bank describes one bank, for the page that announces it.
func (h *Hub) Bank(id string) (banks.Info, banks.Entry, bool) {
	b, e, ok := h.banks.Bank(id)
	if !ok {
		return banks.Info{}, e, false
	}
	return b.Info(), e, true
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (h *Hub) secret() string {
	b := make([]byte, 32)
	if _, err := io.ReadFull(h.random, b); err != nil {
		panic("hub: no randomness: " + err.Error()) // a guessable link would open somebody's payment
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

type metrics struct {
	payments  *prometheus.CounterVec   // by state reached
	bankCalls *prometheus.HistogramVec // seconds, by bank, call and outcome
	unknown   *prometheus.CounterVec   // status codes we do not understand
	odd       *prometheus.CounterVec   // answers that contradict earlier ones
	transfers *prometheus.CounterVec   // refunds and payouts by state reached
	entries   *prometheus.CounterVec   // of statements, by class
	decisions *prometheus.CounterVec   // of operators, by step and verdict
	wrong     prometheus.Counter       // decisions that a bank contradicted
	overdue   *prometheus.GaugeVec     // work that nobody has done in time, by kind
	owned     *prometheus.GaugeVec     // 1 where this process owns a job
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		payments: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rialto_payments_total", Help: "Payments that reached a state."}, []string{"state"}),
		bankCalls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rialto_bank_call_seconds", Help: "Calls to banks.", Buckets: []float64{.005, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}},
			[]string{"bank", "call", "outcome"}),
		unknown: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rialto_bank_unknown_status_total", Help: "transactionStatus values that were not understood."}, []string{"bank", "code"}),
		odd: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rialto_bank_contradictions_total", Help: "Answers that contradicted what the bank had said before."}, []string{"bank"}),
		transfers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rialto_transfers_total", Help: "Refunds and payouts that reached a state."}, []string{"kind", "state"}),
		entries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rialto_statement_entries_total", Help: "Booked entries of payee accounts, by how they agree with what was initiated."}, []string{"class"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rialto_decisions_total", Help: "Steps of operators' decisions about unknown outcomes."}, []string{"step", "verdict"}),
		wrong: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rialto_decision_contradictions_total", Help: "Operators' decisions that a bank's own word contradicted."}),
		overdue: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rialto_overdue_work", Help: "Work that should have been done by now, by kind."}, []string{"kind"}),
		owned: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rialto_job_owner", Help: "1 where this process owns the job."}, []string{"job"}),
	}
	if r != nil {
		r.MustRegister(m.payments, m.bankCalls, m.unknown, m.odd, m.transfers, m.entries, m.decisions, m.wrong, m.overdue, m.owned)
	}
	return m
}

// code bounds a label a bank could fill with anything.
func code(s string) string {
	if len(s) == 4 && psd2.IsEPC(s) {
		return s
	}
	return "other"
}
