package store_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// ended makes a deposit of a player that has been settled.
func ended(t *testing.T, db *store.DB, player string) *psd2.Payment {
	t.Helper()
	p := created(t, db, "mer_a", player)
	for range 20 {
		if p.State == psd2.StateSettled {
			return p
		}
		p = update(t, db, p.ID, func(p *psd2.Payment) error {
			err := advance(p, db.Now())
			p.JudgePayer(func(psd2.IBAN) string { return "src_1" }, func(string, string) bool { return true }, db.Now())
			return err
		})
	}
	t.Fatalf("still %s", p.State)
	return nil
}

func erase(db *store.DB, person string) (e store.Erasure, err error) {
	err = db.Tx(ctx, func(tx *store.Tx) error {
		e, err = tx.ErasePerson(person)
		return err
	})
	return e, err
}

func TestErasedPersonWhoComesBackLeavesHisPastClosed(t *testing.T) {
	both(t, time.Now, func(t *testing.T, w *world) {
		db := w.open(t)
		before := ended(t, db, "player")
		refund := transferOf(db, before)
		must(t, db.Tx(ctx, func(tx *store.Tx) error { return tx.CreateTransfer(refund) }))
		if _, err := erase(db, before.PersonID); psd2.CodeOf(err) != psd2.CodeConflict {
			t.Fatalf("erased while a refund is under way: %v", err)
		}
		if p, err := db.Payment(ctx, before.ID); err != nil || p.Personal.Player.Name == "" {
			t.Fatalf("a refused erasure closed it: %+v, %v", p, err)
		}
		_, err := db.UpdateTransfer(ctx, refund.ID, func(x *psd2.Transfer) error {
			x.Refuse(psd2.ReasonMerchantCanceled, false, db.Now())
			return nil
		})
		must(t, err)
		e, err := erase(db, before.PersonID)
		if err != nil || e.Payments != 1 || e.Transfers != 1 {
			t.Fatalf("%+v, %v", e, err)
		}
		if _, err := erase(db, before.PersonID); psd2.CodeOf(err) != psd2.CodeNotFound {
			t.Fatalf("erased twice: %v", err)
		}
		after := ended(t, db, "player") // the same player reference
		if after.PersonID != before.PersonID {
			t.Fatal("holds and limits of a person must not end with an erasure")
		}
		old, err := db.Payment(ctx, before.ID)
		if err != nil || old.Personal.Player.Name != "" || old.Personal.Source.IBAN != "" || old.Amount != before.Amount {
			t.Fatalf("the old payment: %+v, %v", old, err)
		}
		if _, err := db.UpdatePayment(ctx, before.ID, func(*psd2.Payment) error { return nil }); err == nil {
			t.Error("what cannot be read was written")
		}
		if p, err := db.Payment(ctx, after.ID); err != nil || p.Personal.Player.Name == "" {
			t.Fatalf("the new payment: %+v, %v", p, err)
		}
		events, err := db.PaymentEvents(ctx, before.ID)
		if err != nil || len(events) == 0 || string(events[0].Data) != `{"erased":true}` {
			t.Fatalf("the old events: %+v, %v", events, err)
		}
		if events, err = db.PaymentEvents(ctx, after.ID); err != nil || string(events[0].Data) == `{"erased":true}` {
			t.Fatalf("the new events: %+v, %v", events, err)
		}
		list, _, err := db.Payments(ctx, store.Filter{MerchantID: "mer_a", PlayerReference: "player", Limit: 10})
		if err != nil || len(list) != 1 || list[0].ID != after.ID {
			t.Fatalf("found by the player's reference: %d, %v", len(list), err)
		}
		if found, err := db.Find(ctx, "DE02120300000000202051"); err != nil || len(found) != 1 || found[0].ID != after.ID {
			t.Fatalf("found by the account: %d, %v", len(found), err)
		}
		must(t, db.Tx(ctx, func(tx *store.Tx) error {
			o, err := tx.ByEndToEndID(before.Last().EndToEndID)
			if err == nil && !o.Erased {
				t.Error("the books take an erased payment for one that can be changed")
			}
			return err
		}))
	})
}

func canceled(p *psd2.Payment, now time.Time) error {
	_, err := p.Cancel(psd2.ReasonMerchantCanceled, now)
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whoever is creating a payment is either seen by the erasure, which refuses,
// or comes after it, with a new key: never a payment under a key that is gone.
func TestErasureAndNewPaymentNeverMeet(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		a, b := w.open(t), w.open(t)
		for range 20 {
			first := created(t, a, "mer_a", "player")
			update(t, a, first.ID, func(p *psd2.Payment) error { return canceled(p, a.Now()) })
			next := newPayment(b, "mer_a", "player")
			var wait sync.WaitGroup
			wait.Add(2)
			go func() { defer wait.Done(); _, _ = erase(a, first.PersonID) }() // either answer is right
			var err error
			go func() { defer wait.Done(); err = tryCreate(b, next) }()
			wait.Wait()
			must(t, err)
			p, err := a.Payment(ctx, next.ID)
			if err != nil || p.Personal.Player.Name == "" {
				t.Fatalf("a new payment cannot be read: %+v, %v", p, err)
			}
			update(t, a, next.ID, func(p *psd2.Payment) error { return canceled(p, a.Now()) })
		}
	})
}

func TestMerchantsKeyIsNobodysToErase(t *testing.T) {
	both(t, time.Now, func(t *testing.T, w *world) {
		db := w.open(t)
		must(t, db.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Announce("mer_a", "bank", psd2.EventBankAvailability, []byte(`{}`))
			return err
		}))
		if _, err := erase(db, "mer_a"); psd2.CodeOf(err) != psd2.CodeNotFound {
			t.Fatal(err)
		}
		idle, _, err := db.IdlePersons(ctx, "", db.Now().Add(time.Hour), 10)
		if err != nil || len(idle) != 0 {
			t.Fatal(idle, err)
		}
	})
}

func TestRetentionFindsWhomNothingIsNewOf(t *testing.T) {
	both(t, time.Now, func(t *testing.T, w *world) {
		db := w.open(t)
		gone, open := ended(t, db, "gone"), created(t, db, "mer_a", "open")
		later := db.Now().Add(time.Hour)
		var idle []string
		for after, more := "", true; more; more = after != "" {
			some, next, err := db.IdlePersons(ctx, after, later, 1)
			must(t, err)
			idle, after = append(idle, some...), next
		}
		if len(idle) != 1 || idle[0] != gone.PersonID {
			t.Errorf("idle: %v, not %s", idle, gone.PersonID)
		}
		if idle, _, err := db.IdlePersons(ctx, "", gone.CreatedAt.Add(-time.Hour), 10); err != nil || len(idle) != 0 {
			t.Errorf("idle since before they came: %v, %v", idle, err)
		}
		must(t, db.Tx(ctx, func(tx *store.Tx) error {
			if moved, err := tx.LastMoved(gone.PersonID); err != nil || moved.Sub(gone.CreatedAt).Abs() > time.Millisecond {
				t.Errorf("moved %v, %v", moved, err)
			}
			if moved, err := tx.LastMoved(open.PersonID); err != nil || !moved.IsZero() {
				t.Errorf("nothing moved, but %v, %v", moved, err)
			}
			return nil
		}))
	})
}

// GDPR Art. 15 meets GwG §47(1): all of his, and not a word of what waits for
// an officer.
func TestPersonGetsHisDataAndNoHint(t *testing.T) {
	both(t, time.Now, func(t *testing.T, w *world) {
		db := w.open(t)
		p := ended(t, db, "player")
		held, plain := transferOf(db, p), transferOf(db, p)
		now := db.Now()
		held.HeldAt, held.LookAt = &now, &now
		must(t, db.Tx(ctx, func(tx *store.Tx) error {
			if err := tx.CreateTransfer(held); err != nil {
				return err
			}
			return tx.CreateTransfer(plain)
		}))
		d, err := db.PersonData(ctx, p.PersonID)
		must(t, err)
		text, err := json.Marshal(d)
		must(t, err)
		for _, want := range []string{"Erika Mustermann", "Max Mustermann", "DE02120300000000202051", "Deposit 1", "roulette", "192.0.2.7", "CANARY payee", p.ID, held.ID} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s is missing", want)
			}
		}
		one, err := json.Marshal(d.Transfers[0])
		must(t, err)
		two, err := json.Marshal(d.Transfers[1])
		must(t, err)
		blank := func(b []byte, x *psd2.Transfer) string {
			s := strings.ReplaceAll(strings.ReplaceAll(string(b), x.ID, "ID"), x.EndToEndID, "E2E")
			return strings.ReplaceAll(s, d.Transfers[0].CreatedAt.Format(time.RFC3339Nano), d.Transfers[1].CreatedAt.Format(time.RFC3339Nano))
		}
		byID := map[string]*psd2.Transfer{held.ID: held, plain.ID: plain}
		if a, b := blank(one, byID[d.Transfers[0].ID]), blank(two, byID[d.Transfers[1].ID]); a != b {
			t.Errorf("a held refund shows:\n%s\n%s", a, b)
		}
		if _, err := db.PersonData(ctx, db.PersonID("mer_a", "stranger")); psd2.CodeOf(err) != psd2.CodeNotFound {
			t.Error(err)
		}
	})
}
