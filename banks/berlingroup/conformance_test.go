package berlingroup

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/banks/sandbox/trial"
	"github.com/rialto-hub/rialto/psd2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConformance runs the suite of all adapters against a sandbox bank. Its
// requests are judged by the official OpenAPI where that is at hand.
func TestConformance(t *testing.T) {
	bankstest.Run(t, newSandbox(t).target(t, "sandbank", nil))
}

// TestConformanceOfAnotherProfile: the same at a bank that reports no further
// than ACSC and wants the debtor's account.
func TestConformanceOfAnotherProfile(t *testing.T) {
	s := newSandbox(t)
	target := s.target(t, "endbank", func(c *Config) {
		c.DebtorAccount = DebtorMandatory
		c.RequiredHeaders = []string{"psu-user-agent"}
	})
	var customers sync.Map // IBAN → credentials: whoever is named must be who pays
	plain := target.Order
	target.Order = func(m psd2.Money) banks.Order {
		o := plain(m)
		c := s.customer(t, "endbank")
		customers.Store(c.Accounts[0].IBAN, c)
		o.Debtor = psd2.IBAN(c.Accounts[0].IBAN)
		return o
	}
	payer := func(w psu.Wish) func(context.Context, banks.Initiation) error {
		return func(ctx context.Context, in banks.Initiation) error {
			c, _ := customers.Load(s.debtorOf(t, in))
			return s.walk(ctx, c.(psu.Credentials), in, w)
		}
	}
	target.Approve, target.Decline = payer(psu.Wish{}), payer(psu.Wish{Decline: true})
	bankstest.Run(t, target)
}

// pretend is a sandbox behind a real server.
type pretend struct {
	server *httptest.Server
}

func newSandbox(t *testing.T) *pretend {
	t.Helper()
	all := append(sandbox.DefaultBanks(), sandbox.Bank{ID: "endbank", Name: "Endbank", BankCode: "90050000", Final: "ACSC"})
	s, err := sandbox.Open(sandbox.Config{Banks: all}, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		server.Close()
		s.Close()
	})
	return &pretend{server}
}

// profile is what an operator would write for a sandbox bank.
func (s *pretend) profile() Config {
	return Config{RedirectOrigins: []string{s.server.URL}, InsecureLoopback: true, RedirectLife: 15 * time.Minute, DebtorAccount: DebtorEmpty}
}

func (s *pretend) trial(bank string) trial.Bank {
	return trial.Bank{Operator: psu.Operator{Client: s.server.Client(), Origin: s.server.URL}, ID: bank}
}

// customer is somebody new at the bank.
func (s *pretend) customer(t *testing.T, bank string) psu.Credentials {
	t.Helper()
	c, err := s.trial(bank).NewPayer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// walk is the payer's way through the bank's pages.
func (s *pretend) walk(ctx context.Context, c psu.Credentials, in banks.Initiation, w psu.Wish) error {
	return s.trial("").Walk(ctx, c, in, w)
}

// debtorOf is the account an order named, as the bank received it.
func (s *pretend) debtorOf(t *testing.T, in banks.Initiation) (iban string) {
	t.Helper()
	var st state
	if err := json.Unmarshal(in.State, &st); err != nil {
		t.Fatal(err)
	}
	o, err := s.trial("").Operator.Order(t.Context(), path.Base(st.Payment))
	if err != nil {
		t.Fatal(err)
	}
	return o.DebtorAsked
}

func (s *pretend) target(t *testing.T, bank string, change func(*Config)) bankstest.Target {
	return s.trial(bank).Target(func(base string, log *slog.Logger) (banks.Bank, error) {
		c := s.profile()
		c.BaseURL = base
		if change != nil {
			change(&c)
		}
		return New(bank, c, banks.Deps{Log: log, Wrap: newJudge(t, false).wrap})
	})
}

// order is a good order with ids of its own.
func order(m psd2.Money) banks.Order { return trial.Order(m) }
