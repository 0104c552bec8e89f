package run

import (
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/limits"
	"github.com/rialto-hub/rialto/compliance/monitor"
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
	m, err := monitor.New(monitor.Config{}, monitor.Deps{Store: db, Alerts: desk, Holder: "test"})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.PutMerchant(&psd2.Merchant{ID: merchantID, Name: "Lucky Lagoon", Gambling: true, PayerPolicy: psd2.PayerOff,
			Accounts: []psd2.PayeeAccount{{ID: accountID, Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000"}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	return gateWorld{&gate{monitor: m.Gate(), desk: desk, limits: limits.New(db, nil), store: db}, clock}
}

// payout stores a payout to an account the player has never paid from: R03
// holds it.
func (w gateWorld) payout(t *testing.T) psd2.TransferFacts {
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
		if err := w.desk.ReleaseObject(t.Context(), officer, holds[0].ID, "the account is his own, seen on a statement"); err != nil {
			t.Fatal(err)
		}
		if decision, _, err := w.MayPayOut(t.Context(), f); err != nil || decision != psd2.GateAllow {
			t.Fatalf("released: %s %v", decision, err)
		}
		if decision, _, err := w.MayPayOut(t.Context(), w.payout(t)); err != nil || decision != psd2.GateHold {
			t.Fatalf("the next one: %s %v", decision, err) // a release is for one payout
		}
	})
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
		if v, err := w.MayPayIn(t.Context(), deposit(50_000), m); err != nil || !v.Refuse || v.Reason != psd2.ReasonLimitExceeded {
			t.Fatalf("over the limit: %+v %v", v, err)
		}
		if v, err := w.MayPayIn(t.Context(), deposit(40_000), m); err != nil || v.Refuse {
			t.Fatalf("what is left: %+v %v", v, err)
		}
	})
}
