package run

import (
	"crypto/rand"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/rialto-hub/rialto/compliance/limits"
	"github.com/rialto-hub/rialto/compliance/limits/limitsandbox"
	"github.com/rialto-hub/rialto/compliance/screening"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// deposit is a payment that has just been created, and is stored.
func (w gateWorld) deposit(t *testing.T, minor int64, player psd2.Player) *psd2.Payment {
	t.Helper()
	now := w.clock.Now()
	p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: merchantID, PersonID: w.store.PersonID(merchantID, player.Reference),
		Amount: psd2.Euro(minor), PayeeAccountID: accountID, ReturnURI: "https://casino.example/", ExpiresAt: now.Add(900e9), LinkHash: rand.Text(), PayerPolicy: psd2.PayerOff,
		Personal: psd2.Personal{Reference: "Deposit", Player: player, Payee: psd2.Party{Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000"}}}
	p.Create(now)
	if err := w.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.CreatePayment(p) }); err != nil {
		t.Fatal(err)
	}
	return p
}

func (w gateWorld) payIn(t *testing.T, minor int64, player psd2.Player) (hub.PayIn, error) {
	t.Helper()
	m, err := w.store.Merchant(t.Context(), merchantID)
	if err != nil {
		t.Fatal(err)
	}
	return w.MayPayIn(t.Context(), w.deposit(t, minor, player), m)
}

func named(reference, name, born string) psd2.Player {
	return psd2.Player{Reference: reference, Name: name, DateOfBirth: born, KYCStatus: "verified"}
}

// limited is a gate before a limit service over HTTP.
func limited(t *testing.T, clock *testkit.Clock, db *store.DB) (gateWorld, *limitsandbox.Server) {
	t.Helper()
	service := limitsandbox.New(clock.Now)
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	client, err := limits.NewClient(limits.Config{URL: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newGate(t, clock, db)
	return gateOver(t, clock, db, w.desk, w.screening, limits.New(db, client), "test"), service
}

// A person's own limit reaches the hub's count and rule R10, a higher one as
// well as a lower one (GlüStV §6c(1)).
func TestAPersonsOwnLimitIsTheGates(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w, service := limited(t, clock, db)
		rich, poor := named("rich", "Ruth Reich", "1980-02-03"), named("poor", "Anna Arm", "1990-01-01")
		service.SetLimit(w.identities(rich)[0], 300_000)
		service.SetLimit(w.identities(poor)[0], 5_000)
		if in, err := w.payIn(t, 200_000, rich); err != nil || in.Refuse {
			t.Errorf("a raised limit: %+v %v", in, err)
		}
		if in, err := w.payIn(t, 100_001, rich); err != nil || !in.Refuse || in.Reason != psd2.ReasonLimitExceeded || in.LeftMinor != 100_000 {
			t.Errorf("above it: %+v %v", in, err)
		}
		if in, err := w.payIn(t, 6_000, poor); err != nil || !in.Refuse || in.Reason != psd2.ReasonLimitExceeded || in.LeftMinor != 5_000 || in.Keep == nil {
			t.Errorf("a lowered limit: %+v %v", in, err)
		}
	})
}

// It is not the payer's limit that is exceeded when nobody answers.
func TestAnOutageOfTheLimitServiceIsNoExceededLimit(t *testing.T) {
	clock := testkit.NewClock()
	w, service := limited(t, clock, testkit.SQLite(t, clock.Now))
	service.SetFault(limitsandbox.Down)
	in, err := w.payIn(t, 1000, named("anna", "Anna Beispiel", "1980-02-03"))
	if psd2.CodeOf(err) != psd2.CodeUnavailable || !in.Refuse || in.Reason != psd2.ReasonPaymentNotPossible || in.LeftMinor != 0 {
		t.Errorf("%+v %v", in, err)
	}
}

// Who cannot be told from others has his limit with his merchant.
func TestPlayersWithoutBirthDateHaveALimitToo(t *testing.T) {
	clock := testkit.NewClock()
	w := newGate(t, clock, testkit.SQLite(t, clock.Now))
	for _, c := range []struct {
		player psd2.Player
		minor  int64
		refuse bool
	}{
		{named("anna", "Anna Beispiel", ""), 60_000, false},
		{named("anna", "Anna Beispiel", ""), 40_001, true},
		{named("anna", "Anna Beispiel", ""), 40_000, false},
		{named("bert", "", ""), 100_000, false},
	} {
		if in, err := w.payIn(t, c.minor, c.player); err != nil || in.Refuse != c.refuse || c.refuse && in.Reason != psd2.ReasonLimitExceeded {
			t.Errorf("%s, %d: %+v %v", c.player.Reference, c.minor, in, err)
		}
	}
}

// Lists that are configured and not loaded let nobody pass who was never
// compared with them: money out waits, and so does money in unless the operator
// wants it otherwise. Once they are there, the gate screens who is new itself.
func TestWhoWasNeverScreenedWaits(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		lists := t.TempDir()
		if err := os.WriteFile(filepath.Join(lists, "own.csv"), []byte("id,schema,name,birth_date,countries\n7,Person,Zenobia Quuxberger,1980-02-03,DE\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		base := newGate(t, clock, db)
		over := func(wish string) (gateWorld, *screening.Service) {
			s, err := screening.New(screening.Config{Lists: lists, Unscreened: wish}, screening.Deps{Store: db, Desk: base.desk, Holder: "screening"})
			if err != nil {
				t.Fatal(err)
			}
			return gateOver(t, clock, db, base.desk, s, base.limits, "test"), s
		}
		for wish, want := range map[string]hub.PayIn{"": {Wait: true}, screening.Wait: {Wait: true}, screening.Refuse: {Refuse: true}, screening.Allow: {}} {
			w, _ := over(wish)
			in, err := w.payIn(t, 1000, named("new-"+wish, "Otto Neu", "1990-01-01"))
			if !errors.Is(err, screening.ErrUnscreened) || in.Wait != want.Wait || in.Refuse != want.Refuse || in.Refuse && in.Reason != psd2.ReasonPaymentNotPossible {
				t.Errorf("%q: %+v %v", wish, in, err)
			}
		}
		w, s := over("")
		if decision, _, err := w.MayPayOut(t.Context(), w.payout(t)); decision != psd2.GateHold || !errors.Is(err, screening.ErrUnscreened) {
			t.Errorf("money out: %s %v", decision, err)
		}
		if _, err := s.Step(t.Context(), clock.Now()); err != nil {
			t.Fatal(err)
		}
		if in, err := w.payIn(t, 1000, named("new", "Otto Neu", "1990-01-01")); err != nil || in.Wait || in.Refuse {
			t.Errorf("with lists: %+v %v", in, err)
		}
		in, err := w.payIn(t, 1000, named("listed", "Zenobia Quuxberger", "1980-02-03")) // nobody but the gate has seen him
		if err != nil || !in.Refuse || in.Reason != psd2.ReasonPaymentNotPossible || in.Keep == nil {
			t.Errorf("who is listed: %+v %v", in, err)
		}
	})
}

// TestRoomThatAnotherTabGaveBackLetsNoOrderGo: the gate's yes rests on the
// reservation, which is held again when the order is committed. // C43
func TestRoomThatAnotherTabGaveBackLetsNoOrderGo(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newGate(t, clock, db)
		m, err := db.Merchant(t.Context(), merchantID)
		if err != nil {
			t.Fatal(err)
		}
		p := w.deposit(t, 5000, named("anna", "Anna Beispiel", "1980-02-03"))
		in, err := w.MayPayIn(t.Context(), p, m)
		if err != nil || in.Refuse || in.Recheck == nil {
			t.Fatalf("%+v %v", in, err)
		}
		if err := db.Tx(t.Context(), in.Recheck); err != nil {
			t.Errorf("reserved: %v", err)
		}
		if _, err := w.limits.Withdraw(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		if err := db.Tx(t.Context(), in.Recheck); psd2.CodeOf(err) != psd2.CodeConflict {
			t.Errorf("given back: %v", err)
		}
	})
}

// TestTabWithTheOldAmountDoesNotEndThePayment: its payer has taken less in another
// one, and goes on there. // C43
func TestTabWithTheOldAmountDoesNotEndThePayment(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newGate(t, clock, db)
		m, err := db.Merchant(t.Context(), merchantID)
		if err != nil {
			t.Fatal(err)
		}
		p := w.deposit(t, 5000, named("anna", "Anna Beispiel", "1980-02-03"))
		lowered := *p
		lowered.Amount = psd2.Euro(2000)
		if in, err := w.MayPayIn(t.Context(), &lowered, m); err != nil || in.Refuse || in.Wait {
			t.Fatalf("%+v %v", in, err)
		}
		if in, _ := w.MayPayIn(t.Context(), p, m); in.Refuse || !in.Wait {
			t.Errorf("the old tab: %+v", in)
		}
		if in, err := w.MayPayIn(t.Context(), &lowered, m); err != nil || in.Refuse || in.Wait {
			t.Errorf("the new one goes on: %+v %v", in, err)
		}
	})
}
