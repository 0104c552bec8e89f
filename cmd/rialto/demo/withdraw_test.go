package demo_test

import (
	"context"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2"
)

func world(t *testing.T) (*demo.World, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	w, err := demo.Start(ctx, demo.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, ctx
}

// TestDepositIsPaidBackThroughTheChannel: what a player deposited is paid back
// to the account he paid from, through the casino's own account, and both are
// on its statement.
func TestDepositIsPaidBackThroughTheChannel(t *testing.T) {
	w, ctx := world(t)
	if r, err := w.Once(ctx, nil); err != nil || !r.OK() {
		t.Fatal(r, err)
	}
	const player = "Anna Beispiel"
	payout, err := w.Casino.Withdraw(ctx, player)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Casino.Await(ctx, payout.ID, psd2.EventPayoutExecuted, psd2.EventPayoutFailed); err != nil {
		t.Fatal(err)
	}
	p, err := w.Hub.Store.Transfer(ctx, payout.ID)
	if err != nil || p.State != psd2.TransferExecuted {
		t.Fatalf("%+v %v", p, err)
	}
	client := payer.NewClient(nil)
	defer client.CloseIdleConnections()
	moved, err := psu.Operator{Client: client, Origin: w.BankURL}.Transfers(ctx, p.EndToEndID, 0)
	if err != nil || len(moved) != 1 || moved[0].CreditorIBAN != string(p.Personal.Payee.IBAN) || w.Casino.Balance(player) != 0 {
		t.Fatalf("%+v %v, his balance is %d", moved, err, w.Casino.Balance(player))
	}
}
