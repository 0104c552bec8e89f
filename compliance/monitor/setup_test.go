package monitor_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

var ctx = context.Background()

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a hub's database with its journal, and real officers.
type world struct {
	t       testing.TB
	db      *store.DB
	clock   *testkit.Clock
	desk    *compliance.Desk
	keys    *jose.KeySet
	metrics *prometheus.Registry
	lives   int
}

func newWorld(t testing.TB, clock *testkit.Clock, db *store.DB) *world {
	t.Helper()
	keys, err := jose.NewKeySet(rand.Reader, clock.Now())
	must(t, err)
	desk, err := compliance.NewDesk(compliance.Config{}, compliance.Deps{Store: db, Keys: keys, Now: clock.Now})
	must(t, err)
	must(t, db.Tx(ctx, func(tx *store.Tx) error {
		return tx.PutMerchant(&psd2.Merchant{ID: merchant, Name: "Casino", Gambling: true})
	}))
	return &world{t: t, db: db, clock: clock, desk: desk, keys: keys}
}

const merchant = "mer_01jd0000000000000000000000"

// monitor starts one more life of the consumer.
func (w *world) monitor(alerts monitor.Alerts, change ...func(*monitor.Config)) *monitor.Monitor {
	w.t.Helper()
	return w.start(alerts, change, nil)
}

func (w *world) start(alerts monitor.Alerts, change []func(*monitor.Config), deps []func(*monitor.Deps)) *monitor.Monitor {
	w.t.Helper()
	c := monitor.Config{Profile: rules.ProfileStream60D}
	for _, f := range change {
		f(&c)
	}
	if alerts == nil {
		alerts = w.desk
	}
	w.lives++
	w.metrics = prometheus.NewRegistry()
	d := monitor.Deps{Store: w.db, Alerts: alerts, Holder: "life-" + string(rune('a'+w.lives)), Metrics: w.metrics}
	for _, f := range deps {
		f(&d)
	}
	m, err := monitor.New(c, d)
	must(w.t, err)
	return m
}

// sequence gives positions to what has been committed.
func (w *world) sequence() {
	w.t.Helper()
	s := w.db.Sequencer("test")
	for {
		next, err := s.Step(ctx, w.clock.Now())
		must(w.t, err)
		if next.After(w.clock.Now()) {
			return
		}
	}
}

// catchUp runs a monitor until it has nothing to do.
func (w *world) catchUp(m *monitor.Monitor) error {
	w.t.Helper()
	w.sequence()
	for {
		next, err := m.Step(ctx, w.clock.Now())
		if err != nil {
			return err
		}
		if next.After(w.clock.Now()) {
			return nil
		}
	}
}

// payment is what a test wants of a deposit.
type payment struct {
	player, name, born, holder, device, ip, reference string
	iban                                              psd2.IBAN
	amount                                            int64
	failed, open                                      bool
}

// deposit takes a payment through its life, a moment after the last.
func (w *world) deposit(c payment) *psd2.Payment {
	w.t.Helper()
	now := w.clock.Add(time.Second)
	if c.name == "" {
		c.name = "Anna Koch"
	}
	if c.iban == "" {
		c.iban = "DE89370400440532013000"
	}
	p := &psd2.Payment{
		ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: merchant, PersonID: w.db.PersonID(merchant, c.player),
		Amount: psd2.Euro(c.amount), PayeeAccountID: "acc_1", ReturnURI: "https://casino.example/back", ExpiresAt: now.Add(15 * time.Minute),
		LinkHash: rand.Text(), PayerPolicy: psd2.PayerRequired,
		Personal: psd2.Personal{Reference: "Einzahlung " + c.reference, DeviceID: c.device,
			Player: psd2.Player{Reference: c.player, Name: c.name, DateOfBirth: c.born, KYCStatus: "verified"}, Payee: psd2.Party{Name: "Casino", IBAN: "DE02120300000000202051"}},
	}
	p.Create(now)
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreatePayment(p) }))
	if c.open {
		return p
	}
	id := psd2.NewID(psd2.PrefixAttempt, now, rand.Reader)
	w.update(p.ID, func(p *psd2.Payment) error {
		return p.BeginAttempt(psd2.Attempt{ID: id, BankID: "musterbank", EndToEndID: psd2.NewEndToEndID(id), RequestID: "r"}, psd2.PSU{IP: c.ip}, now)
	})
	w.update(p.ID, func(p *psd2.Payment) error {
		return p.Initiated(id, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example/1"}, []byte("state"), now)
	})
	status := "ACSC"
	if c.failed {
		status = "RJCT"
	}
	return w.update(p.ID, func(p *psd2.Payment) error {
		p.Report(id, psd2.Report{Status: status, ReasonCode: "AM04", Payer: psd2.Party{IBAN: c.iban, Name: c.holder}}, now)
		p.JudgePayer(func(psd2.IBAN) string { return "src_1" }, func(holder, player string) bool { return holder == player }, now)
		if c.failed {
			_, err := p.Cancel(psd2.ReasonPayerCanceled, now)
			return err
		}
		return nil
	})
}

func (w *world) update(id string, fn func(*psd2.Payment) error) *psd2.Payment {
	w.t.Helper()
	p, err := w.db.UpdatePayment(ctx, id, fn)
	must(w.t, err)
	return p
}

func (w *world) number(query string, args ...any) int {
	w.t.Helper()
	var n int
	must(w.t, w.db.Get(ctx, &n, query, args...))
	return n
}

// hits are the rules that hit a transaction.
func (w *world) hits(id string) map[string]rules.Hit {
	w.t.Helper()
	var docs []string
	must(w.t, w.db.Select(ctx, &docs, `SELECT hit FROM monitor_hits WHERE transaction_id = ?`, id))
	out := map[string]rules.Hit{}
	for _, d := range docs {
		var h rules.Hit
		must(w.t, json.Unmarshal([]byte(d), &h))
		out[h.Rule] = h
	}
	return out
}

var errKilled = errors.New("killed")

// dying is a desk whose process dies at one of its calls, after it has written.
type dying struct {
	desk *compliance.Desk
	left int
}

func (d *dying) Raise(tx *store.Tx, f compliance.Finding) error {
	if err := d.desk.Raise(tx, f); err != nil {
		return err
	}
	if d.left--; d.left < 0 {
		return errKilled
	}
	return nil
}
