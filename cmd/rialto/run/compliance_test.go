package run

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/limits"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/screening"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const (
	merchantID = "mer_00000000000000000000000001"
	accountID  = "acc_00000000000000000000000001"
)

type gateWorld struct {
	*gate
	clock *testkit.Clock
	steps *monitor.Monitor
}

// read lets the monitor read the journal to its end.
func (w gateWorld) read(t *testing.T) {
	t.Helper()
	for _, step := range []func(context.Context, time.Time) (time.Time, error){w.store.Sequencer("test").Step, w.steps.Step} {
		for next := w.clock.Now(); !next.After(w.clock.Now()); {
			var err error
			if next, err = step(t.Context(), w.clock.Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func newGate(t *testing.T, clock *testkit.Clock, db *store.DB) gateWorld {
	t.Helper()
	keys, err := jose.NewKeySet(rand.Reader, clock.Now(), jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	desk, err := compliance.NewDesk(compliance.Config{}, compliance.Deps{Store: db, Keys: keys, Now: clock.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	screened, err := screening.New(screening.Config{}, screening.Deps{Store: db, Desk: desk, Holder: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return gateOver(t, clock, db, desk, screened, limits.New(db, nil), "test")
}

func gateOver(t *testing.T, clock *testkit.Clock, db *store.DB, desk *compliance.Desk, screened *screening.Service, keeper *limits.Keeper, holder string) gateWorld {
	t.Helper()
	m, err := monitor.New(monitor.Config{}, monitor.Deps{Store: db, Alerts: desk, Screened: screened, Limits: keeper, Holder: holder})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.PutMerchant(&psd2.Merchant{ID: merchantID, Name: "Lucky Lagoon", Gambling: true, LowerToLimit: true, PayerPolicy: psd2.PayerOff,
			Accounts: []psd2.PayeeAccount{{ID: accountID, Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000"}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	return gateWorld{&gate{monitor: m.Gate(), desk: desk, screening: screened, limits: keeper, store: db}, clock, m}
}

// payout stores a payout to an account the player has never paid from: R03
// holds it.
func (w gateWorld) payout(t *testing.T) psd2.TransferFacts {
	t.Helper()
	f := w.unread(t)
	w.read(t)
	return f
}

// unread is a payout that the monitor has not got to.
func (w gateWorld) unread(t *testing.T) psd2.TransferFacts {
	t.Helper()
	var p *psd2.Transfer
	err := w.store.Tx(t.Context(), func(tx *store.Tx) error {
		p = &psd2.Transfer{ID: psd2.NewID(psd2.PrefixPayout, tx.Now, rand.Reader), Kind: psd2.KindPayout, MerchantID: merchantID,
			PersonID: w.store.PersonID(merchantID, "anna"), Amount: psd2.Euro(5000), AccountID: accountID,
			Personal: psd2.TransferPersonal{Reference: "Payout", Player: psd2.Player{Reference: "anna", Name: "Anna Beispiel", KYCStatus: "verified"},
				Payee: psd2.Party{Name: "Anna Beispiel", IBAN: "DE02120300000000202051"}}}
		p.Create(tx.Now)
		return tx.CreateTransfer(p)
	})
	if err != nil {
		t.Fatal(err)
	}
	return p.Facts()
}

func TestHeldPayoutIsPaidOnlyOnceAnOfficerReleasedIt(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newGate(t, clock, db)
		f := w.payout(t)
		officer := compliance.Officer{ID: "usr_1", Name: "Olga Officer", Roles: []compliance.Role{compliance.Analyst, compliance.MLRO}, Credential: "k1"}
		second := compliance.Officer{ID: "usr_2", Name: "Otto Officer", Roles: []compliance.Role{compliance.Analyst}, Credential: "k2"}
		for i := range 3 { // it is asked again and again while it waits
			decision, reason, err := w.MayPayOut(t.Context(), f)
			if err != nil || decision != psd2.GateHold || reason != "" {
				t.Fatalf("time %d: %s %q %v", i, decision, reason, err)
			}
			held := w.clock.Now()
			f.HeldAt = &held
			w.clock.Add(48 * time.Hour) // time alone releases nothing
		}
		holds, err := w.desk.Holds(t.Context(), officer, 10)
		if err != nil || len(holds) != 1 || holds[0].ObjectID != f.ID {
			t.Fatalf("%+v %v", holds, err)
		}
		w.decided(t, officer, second, f.ID, compliance.HoldRelease)
		if decision, _, err := w.MayPayOut(t.Context(), f); err != nil || decision != psd2.GateReleased {
			t.Fatalf("released: %s %v", decision, err)
		}
		if decision, _, err := w.MayPayOut(t.Context(), w.payout(t)); err != nil || decision != psd2.GateHold {
			t.Fatalf("the next one: %s %v", decision, err) // a release is for one payout
		}
	})
}

// decided takes a hold to its end by two officers.
func (w gateWorld) decided(t *testing.T, first, second compliance.Officer, object, do string) {
	t.Helper()
	holds, err := w.desk.Holds(t.Context(), first, 10)
	i := slices.IndexFunc(holds, func(h compliance.Hold) bool { return h.ObjectID == object })
	if err != nil || i < 0 {
		t.Fatalf("no hold of %s: %+v %v", object, holds, err)
	}
	if err := w.desk.ProposeHold(t.Context(), first, holds[i].ID, do, "seen on a statement"); err != nil {
		t.Fatal(err)
	}
	if holds, err = w.desk.Holds(t.Context(), second, 10); err != nil {
		t.Fatal(err)
	}
	p, _ := holds[i].Proposed()
	if err := w.desk.DecideHold(t.Context(), second, holds[i].ID, p.At, true, "agreed"); err != nil {
		t.Fatal(err)
	}
}

// Pending for ever tells a player that somebody looks: what two officers refuse
// ends, and says no more than any other payment that is not possible.
func TestRefusedPayoutEnds(t *testing.T) {
	clock := testkit.NewClock()
	w := newGate(t, clock, testkit.SQLite(t, clock.Now))
	first := compliance.Officer{ID: "usr_1", Name: "Olga Officer", Roles: []compliance.Role{compliance.Analyst}, Credential: "k1"}
	second := compliance.Officer{ID: "usr_2", Name: "Otto Officer", Roles: []compliance.Role{compliance.Analyst}, Credential: "k2"}
	f := w.payout(t)
	if decision, _, err := w.MayPayOut(t.Context(), f); err != nil || decision != psd2.GateHold {
		t.Fatalf("%s %v", decision, err)
	}
	w.decided(t, first, second, f.ID, compliance.HoldRefuse)
	if decision, reason, err := w.MayPayOut(t.Context(), f); err != nil || decision != psd2.GateRefuse || reason != "" {
		t.Fatalf("refused: %s %q %v", decision, reason, err)
	}
}

func TestMoneyOutWaitsWhenTheGateCannotJudge(t *testing.T) {
	clock := testkit.NewClock()
	w := newGate(t, clock, testkit.SQLite(t, clock.Now))
	f := w.payout(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	held := clock.Now()
	f.HeldAt = &held // also when it was held before: not asking is not a release
	if decision, _, err := w.MayPayOut(gone, f); decision != psd2.GateHold || err == nil {
		t.Fatalf("%s %v", decision, err)
	}
}

// What the monitor has not got to waits a moment; when it stays behind, the
// transfer is held as one that cannot be judged. Neither is a hold for officers.
func TestMoneyOutWaitsUntilTheMonitorKnowsWhatCameBefore(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newGate(t, clock, db)
		f := w.unread(t)
		for range 4 {
			if decision, _, err := w.MayPayOut(t.Context(), f); err != nil || decision != psd2.GateWait {
				t.Fatalf("just made: %s %v", decision, err)
			}
			clock.Add(10 * time.Second)
		}
		if decision, _, err := w.MayPayOut(t.Context(), f); decision != psd2.GateHold || !errors.Is(err, monitor.ErrBehind) {
			t.Fatalf("never read: %s %v", decision, err)
		}
		officer := compliance.Officer{ID: "usr_1", Name: "Olga Officer", Roles: []compliance.Role{compliance.Analyst}, Credential: "k1"}
		if holds, err := w.desk.Holds(t.Context(), officer, 10); err != nil || len(holds) != 0 {
			t.Fatalf("held: %+v %v", holds, err)
		}
		w.read(t)
		if decision, _, err := w.MayPayOut(t.Context(), f); err != nil || decision != psd2.GateHold {
			t.Fatalf("read, by R03: %s %v", decision, err)
		}
		if holds, err := w.desk.Holds(t.Context(), officer, 10); err != nil || len(holds) != 1 {
			t.Fatalf("by R03: %+v %v", holds, err)
		}
	})
}

// The process that reads the journal dies. Another takes over when its lease ends,
// and what was made meanwhile is judged then, not held as what cannot be; nor is
// what a process finds when it starts.
func TestMoneyOutWaitsForTheMonitorsSuccessor(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newGate(t, clock, db)
		w.payout(t) // read by the process that dies now
		successor := gateOver(t, clock, db, w.desk, w.screening, w.limits, "successor")
		f, waited := w.unread(t), 0
		for ; ; waited++ {
			successor.read(t)
			decision, _, err := successor.MayPayOut(t.Context(), f)
			if err != nil {
				t.Fatalf("after %d s: %v", waited, err)
			}
			if decision == psd2.GateHold { // by R03
				break
			}
			clock.Add(time.Second)
		}
		if waited < 5 {
			t.Errorf("nobody waited: %d s", waited)
		}
		late := w.unread(t)
		clock.Add(time.Hour) // nothing runs
		w.began = clock.Now()
		if decision, _, err := w.MayPayOut(t.Context(), late); err != nil || decision != psd2.GateWait {
			t.Errorf("after a start: %s %v", decision, err)
		}
	})
}

func TestMonthlyLimitHoldsAcrossPayments(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newGate(t, clock, db)
		m, err := db.Merchant(t.Context(), merchantID)
		if err != nil {
			t.Fatal(err)
		}
		deposit := func(minor int64) *psd2.Payment {
			return &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, clock.Now(), rand.Reader), MerchantID: merchantID, PersonID: db.PersonID(merchantID, "anna"),
				Amount: psd2.Euro(minor), State: psd2.StateAuthorizationRequired, CreatedAt: clock.Now(), PayerPolicy: psd2.PayerOff,
				Personal: psd2.Personal{Player: psd2.Player{Reference: "anna", Name: "Anna Beispiel", DateOfBirth: "1980-02-03", KYCStatus: "verified"},
					Payee: psd2.Party{Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000"}}}
		}
		first := deposit(60_000)
		for range 2 { // asking twice reserves once
			if v, err := w.MayPayIn(t.Context(), first, m); err != nil || v.Refuse {
				t.Fatalf("%+v %v", v, err)
			}
		}
		for _, over := range []struct{ amount, left int64 }{{50_000, 40_000}, {100_001, 40_000}} { // by the limits, and by a rule
			if v, err := w.MayPayIn(t.Context(), deposit(over.amount), m); err != nil || !v.Refuse || v.Reason != psd2.ReasonLimitExceeded || v.LeftMinor != over.left {
				t.Fatalf("over the limit: %+v %v", v, err)
			}
		}
		if v, err := w.MayPayIn(t.Context(), deposit(40_000), m); err != nil || v.Refuse {
			t.Fatalf("what is left: %+v %v", v, err)
		}
	})
}
