package berlingroup

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

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
	b := s.trial("endbank")
	b.Named = true // whoever is named must be who pays
	target := b.Target(func(base string, log *slog.Logger) (banks.Bank, error) {
		c := s.profile()
		c.BaseURL, c.DebtorAccount, c.RequiredHeaders = base, DebtorMandatory, []string{"psu-user-agent"}
		return New("endbank", c, banks.Deps{Log: log, Wrap: newJudge(t, false).wrap})
	})
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
	_, err := s.trial("").Walk(ctx, c, in, w)
	return err
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
