package limits_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/limits"
	"github.com/rialto-hub/rialto/compliance/limits/limitsandbox"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

var ctx = context.Background()

type world struct {
	*limits.Keeper
	t       *testing.T
	db      *store.DB
	clock   *testkit.Clock
	service *limitsandbox.Server
}

// worlds runs a test on both databases against a limit service over HTTP.
func worlds(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		service := limitsandbox.New(clock.Now)
		server := httptest.NewServer(service)
		t.Cleanup(server.Close)
		client, err := limits.NewClient(limits.Config{URL: server.URL}, nil)
		must(t, err)
		test(t, &world{limits.New(db, client), t, db, clock, service})
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) reserve(payment string, amount int64) (limits.Answer, error) {
	return w.Reserve(ctx, limits.Request{PaymentID: payment, PersonKey: "anna", AmountMinor: amount})
}

func (w *world) end(fn func(*store.Tx, string) error, payment string) {
	w.t.Helper()
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { return fn(tx, payment) }))
}

// step tells the service everything that is due.
func (w *world) step() {
	w.t.Helper()
	_, err := w.Step(ctx, w.clock.Add(time.Hour))
	must(w.t, err)
}

func (w *world) wantLeft(want int64) {
	w.t.Helper()
	got, err := w.Left(ctx, "anna")
	must(w.t, err)
	if used := w.service.Used("anna"); got != want || limits.DefaultLimit-used != want {
		w.t.Errorf("left %d here and %d there, want %d", got, limits.DefaultLimit-used, want)
	}
}

func TestReserveConfirmReleaseKeepBothCounts(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for i, amount := range []int64{60000, 30000} {
			a, err := w.reserve(fmt.Sprint("pay", i), amount)
			must(t, err)
			if !a.Granted {
				t.Fatalf("%d refused", amount)
			}
		}
		a, err := w.reserve("pay2", 10001)
		must(t, err)
		if a.Granted || a.LeftMinor != 10000 {
			t.Errorf("answer %+v, want a refusal with 10000 left", a)
		}
		w.end(w.Release, "pay0")
		w.end(w.Confirm, "pay1")
		w.end(w.Release, "pay1") // too late: the money has moved
		w.step()
		w.wantLeft(70000)
		if w.service.State("pay0") != "released" || w.service.State("pay1") != "confirmed" {
			t.Errorf("the service has %s and %s", w.service.State("pay0"), w.service.State("pay1"))
		}
		again, err := w.reserve("pay1", 30000)
		if err != nil || !again.Granted {
			t.Errorf("asked again: %+v %v", again, err)
		}
		w.wantLeft(70000)
	})
}

// An unknown outcome keeps its room, however long it lasts.
func TestAReservationIsKeptWhileTheOutcomeIsUnknown(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		_, err := w.reserve("pay0", 90000)
		must(t, err)
		for range 3 {
			w.step()
		}
		if a, err := w.reserve("pay1", 20000); err != nil || a.Granted {
			t.Errorf("the room was given away: %+v %v", a, err)
		}
		w.wantLeft(10000)
	})
}

func TestAServiceThatDoesNotAnswerRefuses(t *testing.T) { // C42
	worlds(t, func(t *testing.T, w *world) {
		for i, fault := range []limitsandbox.Fault{limitsandbox.Down, limitsandbox.LostAnswer} {
			w.service.SetFault(fault)
			if a, err := w.reserve(fmt.Sprint("pay", i), 90000); a.Granted || psd2.CodeOf(err) != psd2.CodeUnavailable {
				t.Fatalf("fault %d: %+v %v, want unavailable", fault, a, err)
			}
			w.service.SetFault(limitsandbox.Down)
			w.step() // nobody hears
			w.service.SetFault(limitsandbox.None)
			w.step()
			w.wantLeft(limits.DefaultLimit)
		}
	})
}

// What the authority refuses is refused, though the hub alone would allow it.
func TestTheAuthorityHasTheLastWord(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.service.SetLimit("anna", 5000)
		a, err := w.reserve("pay0", 6000)
		if err != nil || a.Granted || a.LeftMinor != 5000 {
			t.Errorf("%+v %v, want a refusal with 5000 left", a, err)
		}
		if left, err := w.Left(ctx, "anna"); err != nil || left != 5000 {
			t.Errorf("by the hub's own count %d are left of 5000, %v", left, err)
		}
	})
}

// A person's own limit counts, a higher one as well as a lower one: the answer
// tells it, and the hub goes by it from then on (GlüStV §6c(1)).
func TestAPersonsOwnLimitIsHonoured(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		if limit, err := w.Limit(ctx, "anna"); err != nil || limit != nil {
			t.Fatalf("known before anybody was asked: %v %v", limit, err)
		}
		w.service.SetLimit("anna", 300_000)
		for i, want := range []bool{true, true, false} {
			a, err := w.reserve(fmt.Sprint("pay", i), 120_000)
			if err != nil || a.Granted != want || !want && a.LeftMinor != 60_000 {
				t.Fatalf("deposit %d: %+v %v", i, a, err)
			}
		}
		limit, err := w.Limit(ctx, "anna")
		if err != nil || limit == nil || *limit != 300_000 {
			t.Fatalf("the limit kept is %v, %v", limit, err)
		}
		if left, err := w.Left(ctx, "anna"); err != nil || left != 60_000 {
			t.Errorf("left %d, %v", left, err)
		}
		w.service.SetLimit("anna", 250_000)
		if a, err := w.reserve("pay3", 20_000); err != nil || a.Granted || a.LeftMinor != 10_000 {
			t.Errorf("lowered meanwhile: %+v %v", a, err)
		}
		if left, err := w.Left(ctx, "anna"); err != nil || left != 10_000 {
			t.Errorf("left %d, %v", left, err)
		}
		if a, err := limits.New(w.db, nil).Reserve(ctx, limits.Request{PaymentID: "pay4", PersonKey: "anna", AmountMinor: 10_001}); err != nil || a.Granted || a.LeftMinor != 10_000 {
			t.Errorf("by the own count alone: %+v %v", a, err)
		}
	})
}

// lax grants everything and tells no limit. before is what happens before its
// answer arrives.
type lax struct {
	limits.Authority
	before func()
}

func (l *lax) Reserve(context.Context, string, string, int64) (limits.Answer, error) {
	if l.before != nil {
		l.before()
	}
	return limits.Answer{Granted: true}, nil
}

// Who is granted more than everybody's limit, and nobody says that it is his
// own, is stopped by the hub's count; the authority learns that it is over.
func TestTheOwnCountStandsBesideTheAuthority(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		k := limits.New(w.db, &lax{})
		for i, want := range []bool{true, false} {
			a, err := k.Reserve(ctx, limits.Request{PaymentID: fmt.Sprint("pay", i), PersonKey: "anna", AmountMinor: 70_000})
			if err != nil || a.Granted != want || a.LeftMinor != 0 {
				t.Fatalf("deposit %d: %+v %v", i, a, err)
			}
		}
		if left, err := k.Left(ctx, "anna"); err != nil || left != 30_000 {
			t.Errorf("left %d, %v", left, err)
		}
		_, err := w.Step(ctx, w.clock.Add(time.Hour)) // the service has seen neither, and is told to release one
		must(t, err)
		if a, b := w.service.State("pay0"), w.service.State("pay1"); a+b != "released" {
			t.Errorf("the service was told %q and %q", a, b)
		}
	})
}

// A process that dies between the question and the answer has granted nothing:
// the next one asks again.
func TestOnlyAnAnswerGrants(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		k := limits.New(w.db, &lax{before: func() { panic("dies") }})
		func() {
			defer func() { _ = recover() }() // the process
			_, _ = k.Reserve(ctx, limits.Request{PaymentID: "pay0", PersonKey: "anna", AmountMinor: 6000})
		}()
		w.service.SetLimit("anna", 5000)
		if a, err := w.reserve("pay0", 6000); err != nil || a.Granted {
			t.Errorf("granted though nobody did: %+v %v", a, err)
		}
	})
}

// What something else stops gives its room back, and may ask for less when no
// authority has to be told first.
func TestAWithdrawnReservationLeavesItsRoom(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		own := limits.New(w.db, nil)
		for i, c := range []struct {
			k     *limits.Keeper
			again bool
		}{{own, true}, {w.Keeper, false}} {
			r := limits.Request{PaymentID: fmt.Sprint("pay", i), PersonKey: "anna", AmountMinor: 60_000}
			if a, err := c.k.Reserve(ctx, r); err != nil || !a.Granted {
				t.Fatalf("%+v %v", a, err)
			}
			again, err := c.k.Withdraw(ctx, r.PaymentID)
			if left, leftErr := c.k.Left(ctx, "anna"); err != nil || leftErr != nil || again != c.again || left != limits.DefaultLimit {
				t.Fatalf("%v, %d left, %v %v", again, left, err, leftErr)
			}
			r.AmountMinor = 20_000
			if a, err := c.k.Reserve(ctx, r); a.Granted != c.again || (err == nil) != c.again {
				t.Errorf("less: %+v %v", a, err)
			}
			w.end(c.k.Release, r.PaymentID)
		}
		w.step()
		w.wantLeft(limits.DefaultLimit)
	})
}

// A payer may have sent the order from another tab before this one is stopped:
// then its room stays taken, until somebody knows how it ended.
func TestRoomOfAnOrderThatIsOutIsNotWithdrawn(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for _, k := range []*limits.Keeper{limits.New(w.db, nil), w.Keeper} {
			now := w.clock.Now()
			p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: "mer_1", PersonID: "psn_1",
				Amount: psd2.Euro(30_000), ExpiresAt: now.Add(time.Hour), LinkHash: rand.Text()}
			p.Create(now)
			must(t, w.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreatePayment(p) }))
			reserve := func() {
				t.Helper()
				if a, err := k.Reserve(ctx, limits.Request{PaymentID: p.ID, PersonKey: "anna", AmountMinor: 30_000}); err != nil || !a.Granted {
					t.Fatalf("%+v %v", a, err)
				}
			}
			left := func(want int64) {
				t.Helper()
				if got, err := k.Left(ctx, "anna"); err != nil || got != want {
					t.Fatalf("%d left, want %d; %v", got, want, err)
				}
			}
			reserve()
			_, err := w.db.UpdatePayment(ctx, p.ID, func(p *psd2.Payment) error {
				return p.BeginAttempt(psd2.Attempt{ID: psd2.NewID(psd2.PrefixAttempt, now, rand.Reader), BankID: "b", EndToEndID: rand.Text()}, psd2.PSU{}, now)
			})
			must(t, err)
			if again, err := k.Withdraw(ctx, p.ID); again || err != nil {
				t.Errorf("with an order out: %v %v", again, err)
			}
			left(70_000)
			reserve() // the same answer
			w.end(k.Release, p.ID)
			left(limits.DefaultLimit)
		}
	})
}

// What the authority refuses was never reserved: a smaller amount may follow.
func TestASmallerAmountMayFollowARefusal(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.service.SetLimit("anna", 4000)
		a, err := w.reserve("pay0", 10000)
		if err != nil || a.Granted || a.LeftMinor != 4000 {
			t.Fatalf("%+v %v", a, err)
		}
		if left, err := w.Left(ctx, "anna"); err != nil || left != 4000 {
			t.Errorf("left %d, %v", left, err)
		}
		if a, err = w.reserve("pay0", 4000); err != nil || !a.Granted {
			t.Errorf("the smaller one: %+v %v", a, err)
		}
		w.end(w.Confirm, "pay0")
		w.step()
		if used := w.service.Used("anna"); used != 4000 || w.service.State("pay0") != "confirmed" {
			t.Errorf("used %d, %s", used, w.service.State("pay0"))
		}
	})
}

func TestFiftyDepositsAtOnceCannotPassTheLimit(t *testing.T) { // C43
	worlds(t, func(t *testing.T, w *world) {
		own := limits.New(w.db, nil)
		var granted atomic.Int64
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				a, err := own.Reserve(ctx, limits.Request{PaymentID: fmt.Sprint("pay", i), PersonKey: "anna", AmountMinor: 30000})
				if err != nil {
					t.Error(err)
				}
				if a.Granted {
					granted.Add(1)
				}
			})
		}
		all.Wait()
		if granted.Load() != 3 {
			t.Errorf("%d deposits of 300 euro were granted, want 3", granted.Load())
		}
	})
}

func TestANewMonthBeginsInBerlin(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		_, err := w.reserve("pay0", 100000)
		must(t, err)
		berlin, err := time.LoadLocation("Europe/Berlin")
		must(t, err)
		now := w.clock.Now().In(berlin)
		midnight := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, berlin)
		w.clock.Add(midnight.Add(-time.Second).Sub(now))
		if a, err := w.reserve("pay1", 1); err != nil || a.Granted {
			t.Errorf("a second before midnight: %+v %v", a, err)
		}
		w.clock.Add(time.Second)
		if a, err := w.reserve("pay2", 100000); err != nil || !a.Granted {
			t.Errorf("at midnight: %+v %v", a, err)
		}
	})
}
