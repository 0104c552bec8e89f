package main

import (
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2"
)

// TestDepositAtEachKindOfBank: from the casino's page to its books, at banks
// where the authorisation is started explicitly, where the payer brings a
// confirmation code back, where he confirms by OAuth, and where he logs in by
// OAuth before the order; where his account or his name have to be in the order,
// where he confirms in the bank's app; and where he gives password and code
// through the hosted page, without JavaScript.
func TestDepositAtEachKindOfBank(t *testing.T) {
	t.Parallel()
	w, err := demo.Start(t.Context(), demo.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, bank := range []string{"kranichbank", "muehlenbank", "lindenbank", "hafenbank", "foerdebank", "moorbank", "inselbank"} {
		client := payer.NewClient(nil)
		anna, err := psu.Operator{Client: client, Origin: w.BankURL}.Persona(t.Context(), bank, "anna")
		if err != nil {
			t.Fatal(err)
		}
		p, err := w.Casino.Deposit(t.Context(), "Anna Beispiel", 2500, "en")
		if err != nil {
			t.Fatal(err)
		}
		person := payer.Payer{Client: client, Bank: bank, Credentials: anna, Now: time.Now}
		if _, err := person.Pay(t.Context(), p.HostedPage.URL); err != nil {
			t.Errorf("%s: %v", bank, err)
			continue
		}
		if bank == "moorbank" {
			if err := psu.Confirm(t.Context(), client, w.BankURL+"/moorbank/phone/anna", psu.Wish{}); err != nil {
				t.Errorf("%s: %v", bank, err)
				continue
			}
		}
		if _, err := w.Casino.Await(t.Context(), p.ID, psd2.EventCreditable, psd2.EventFailed); err != nil {
			t.Errorf("%s: %v", bank, err)
		}
		if now, err := w.Hub.Store.Payment(t.Context(), p.ID); err != nil || now.State != psd2.StateSettled {
			t.Errorf("%s: %s %s %v", bank, now.State, now.Failure, err)
		}
		client.CloseIdleConnections()
	}
}
