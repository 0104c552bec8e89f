package store_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// transferOf is a refund of a payment that was just made.
func transferOf(db *store.DB, p *psd2.Payment) *psd2.Transfer {
	t := &psd2.Transfer{
		ID: psd2.NewID(psd2.PrefixRefund, db.Now(), rand.Reader), Kind: psd2.KindRefund, MerchantID: p.MerchantID, PersonID: p.PersonID,
		Amount: psd2.Euro(100), AccountID: "acc_1", PaymentID: p.ID,
		Personal: psd2.TransferPersonal{Reference: "CANARY reference", Player: p.Personal.Player,
			Payee: psd2.Party{Name: "CANARY payee", IBAN: "DE02120300000000202051"}, Metadata: map[string]string{"k": "CANARY"}},
	}
	t.Create(db.Now())
	return t
}

// TestTransfersAreSealedAndErasable: nothing personal of a transfer or of a
// statement's entry lies open, and after the person's erasure the rest is
// still there.
func TestTransfersAreSealedAndErasable(t *testing.T) {
	both(t, time.Now, func(t *testing.T, w *world) {
		db := w.open(t)
		p := created(t, db, "mer_a", "player")
		x := transferOf(db, p)
		entry := psd2.StatementEntry{AccountID: "acc_1", Number: 1, BankID: "B1", Kind: psd2.EntryCredit, Incoming: true, Amount: psd2.Euro(5),
			BookedAt: db.Now(), Class: psd2.EntryForeign, Counterparty: psd2.Party{Name: "CANARY stranger", IBAN: "DE75512108001245126199"}, Remittance: "CANARY text"}
		owned := entry
		owned.Number, owned.BankID, owned.Class, owned.PersonID, owned.ObjectID = 2, "B2", psd2.EntryDuplicate, p.PersonID, p.ID
		if err := db.Tx(ctx, func(tx *store.Tx) error {
			if err := tx.CreateTransfer(x); err != nil {
				return err
			}
			if err := tx.AddEntry(&entry, false); err != nil {
				return err
			}
			return tx.AddEntry(&owned, false)
		}); err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"CANARY", "120300000000202051", "512108001245126199", "Mustermann"} {
			if where := w.grep(t, word); where != "" {
				t.Errorf("%s stands in %s", word, where)
			}
		}
		got, err := db.Transfer(ctx, x.ID)
		if err != nil || got.Personal.Payee != x.Personal.Payee {
			t.Fatal(got, err)
		}
		for _, f := range []store.TransferFilter{
			{MerchantID: "mer_a", PlayerReference: "player"}, {MerchantID: "mer_a", Reference: "CANARY reference"},
			{MerchantID: "mer_a", EndToEndID: x.EndToEndID}, {MerchantID: "mer_a", PaymentID: p.ID, Kind: psd2.KindRefund, State: psd2.TransferPending},
		} {
			if list, next, err := db.Transfers(ctx, f); err != nil || len(list) != 1 || next != "" || list[0].ID != x.ID {
				t.Errorf("%+v: %v %v", f, list, err)
			}
		}
		if list, _, err := db.Transfers(ctx, store.TransferFilter{MerchantID: "mer_b"}); err != nil || len(list) != 0 {
			t.Errorf("another merchant sees %v %v", list, err)
		}
		if list, err := db.StatementEntries(ctx, store.EntryFilter{AccountID: "acc_1", Limit: 10}); err != nil || len(list) != 2 || list[1].Counterparty.Name != "CANARY stranger" {
			t.Fatal(list, err)
		}
		mustExec(t, db, `DELETE FROM person_keys WHERE person_id = ?`, p.PersonID)
		if got, err = db.Transfer(ctx, x.ID); err != nil || got.Amount != x.Amount || got.Personal.Payee.Name != "" {
			t.Fatal(got, err)
		}
		if _, err := db.UpdateTransfer(ctx, x.ID, func(*psd2.Transfer) error { return nil }); err == nil {
			t.Error("what cannot be read was written")
		}
		list, err := db.StatementEntries(ctx, store.EntryFilter{AccountID: "acc_1", Limit: 10})
		if err != nil || len(list) != 2 || list[0].Counterparty.Name != "CANARY stranger" || list[1].Counterparty.Name != "" || list[1].Amount != psd2.Euro(5) {
			t.Fatal(list, err)
		}
	})
}
