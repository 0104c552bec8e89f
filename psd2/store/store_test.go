package store_test

import (
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// newPayment makes a payment of one player, ready to be created.
func newPayment(db *store.DB, merchant, player string) *psd2.Payment {
	now := db.Now()
	p := &psd2.Payment{
		ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: merchant,
		PersonID: db.PersonID(merchant, player), Amount: psd2.Euro(2500),
		ExpiresAt: now.Add(15 * time.Minute), LinkHash: rand.Text(),
		PayerPolicy: psd2.PayerRequired,
		Personal: psd2.Personal{
			Reference: "Deposit 1", Player: psd2.Player{Reference: player, Name: "Erika Mustermann"},
			Payee: psd2.Party{Name: "Casino", IBAN: "DE89370400440532013000"},
		},
	}
	p.Create(now)
	return p
}

func create(t *testing.T, db *store.DB, merchant, player string) *psd2.Payment {
	t.Helper()
	p := newPayment(db, merchant, player)
	if err := db.Tx(context.Background(), func(tx *store.Tx) error { return tx.CreatePayment(p) }); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPaymentComesBackAsItWas(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		p := create(t, db, "mer_a", "player-1")
		got, err := db.Payment(context.Background(), p.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.Personal.Player.Name != "Erika Mustermann" || got.State != psd2.StateAuthorizationRequired || got.Version != 1 {
			t.Fatalf("got %+v", got)
		}
		if _, err := db.MerchantPayment(context.Background(), "mer_b", p.ID); psd2.CodeOf(err) != psd2.CodeNotFound {
			t.Fatalf("another merchant's payment: %v", err)
		}
		seq := db.Sequencer("one")
		if _, err := seq.Step(context.Background(), db.Now()); err != nil {
			t.Fatal(err)
		}
		events, err := db.EventsAfter(context.Background(), "mer_a", 0, 10)
		if err != nil || len(events) != 1 || events[0].Position != 1 || events[0].Type != psd2.EventCreated {
			t.Fatalf("events %+v, %v", events, err)
		}
	})
}
