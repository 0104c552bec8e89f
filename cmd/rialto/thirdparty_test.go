package main

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
)

// TestOfficersLearnOfAPayoutTriedToSomebodyElse: R02. The payee's bank knows
// another holder than the player: the payout waits with the officers, and ends
// when two of them refuse it.
func TestOfficersLearnOfAPayoutTriedToSomebodyElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := demo.Start(t.Context(), demo.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	people := openCast(t, w, dir)
	s := people.s
	strangers, err := psu.Operator{Client: payer.NewClient(nil), Origin: w.BankURL}.Create(t.Context(), "sandbank",
		psu.NewCustomers{Count: 1, User: "stranger-" + strings.ToLower(rand.Text()), Holder: "Hanna Fremd", BalanceMinor: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	player := people.player("sly")
	tried, err := s.Client.Payout(t.Context(), apiclient.Payout{Amount: psd2.Euro(2400), AccountID: s.AccountID, Reference: "Payout", Player: player,
		Payee: &apiclient.Payee{Name: player.Name, IBAN: psd2.IBAN(strangers[0].Accounts[0].IBAN)}}, rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	people.settles(tried.ID)
	people.neverTold(tried.ID)
	people.refuses(tried.ID, "R02")
	if got := people.failed(tried.ID); got.FailureReason != psd2.ReasonPaymentNotPossible {
		t.Errorf("the merchant is told %s", got.FailureReason)
	}
	var rule string
	err = w.Hub.Store.Get(t.Context(), &rule, `SELECT rule FROM monitor_hits WHERE transaction_id = ? AND rule = 'R02'`, tried.ID)
	if err != nil {
		t.Errorf("nothing is kept of it: %v", err)
	}
}
