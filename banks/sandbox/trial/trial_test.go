package trial_test

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/berlingroup"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/banks/sandbox/trial"
	"github.com/rialto-hub/rialto/psd2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLedgerSaysWhatTheBankHolds: nothing, an order, a booked order, two orders
// of one name. A suite that believed the wrong books would prove nothing.
func TestLedgerSaysWhatTheBankHolds(t *testing.T) {
	s, err := sandbox.Open(sandbox.Config{}, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	bank := trial.Bank{Operator: psu.Operator{Client: server.Client(), Origin: server.URL}, ID: "sandbank"}
	target := bank.Target(func(base string, log *slog.Logger) (banks.Bank, error) {
		return berlingroup.New("sandbank", berlingroup.Config{BaseURL: base, RedirectOrigins: []string{server.URL}, InsecureLoopback: true}, banks.Deps{Log: log})
	})
	adapter, err := target.New(target.BankURL, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	o := target.Order(psd2.Euro(1234))
	wantHeld := func(orders, booked int) {
		t.Helper()
		held, err := target.Ledger(t.Context(), o.EndToEndID)
		if err != nil || len(held) != orders {
			t.Fatalf("%+v %v, want %d orders", held, err, orders)
		}
		for _, h := range held {
			if h.Amount != o.Amount || h.Creditor != o.Creditor.IBAN {
				t.Errorf("held as %+v", h)
			}
			if h.Booked {
				booked--
			}
		}
		if booked != 0 {
			t.Errorf("%d more were to be booked", booked)
		}
	}
	wantHeld(0, 0)
	first, err := adapter.Initiate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	wantHeld(1, 0)
	if _, err := target.Approve(t.Context(), bankstest.Act{Order: o, Now: first}); err != nil {
		t.Fatal(err)
	}
	wantHeld(1, 1)
	second, err := adapter.Initiate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Decline(t.Context(), bankstest.Act{Order: o, Now: second}); err != nil {
		t.Fatal(err)
	}
	wantHeld(2, 1)
}

func TestForgedRedirectReplacesTheBanksOwn(t *testing.T) {
	forge := trial.Bank{}.Target(nil).ForgeRedirect
	good := []byte(`{"transactionStatus":"RCVD","_links":{"scaRedirect":{"href":"https://bank.example/pay?a=1&b=2"},"self":{"href":"/1"}}}`)
	want := []byte(`{"transactionStatus":"RCVD","_links":{"scaRedirect":{"href":"javascript:alert(\"1\")"},"self":{"href":"/1"}}}`)
	if got := forge(good, `javascript:alert("1")`); !bytes.Equal(got, want) {
		t.Errorf("%s", got)
	}
	if other := []byte("<html>"); !bytes.Equal(forge(other, "x"), other) {
		t.Error("an answer that is no JSON was changed")
	}
}
