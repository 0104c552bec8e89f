package skeleton

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/banks/sandbox/trial"
)

// TestConformance runs the suite of all adapters against a bank of the sandbox.
func TestConformance(t *testing.T) {
	s, err := sandbox.Open(sandbox.Config{}, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() { server.Close(); _ = s.Close() })
	bank := trial.Bank{Operator: psu.Operator{Client: server.Client(), Origin: server.URL}, ID: "sandbank"}
	bankstest.Run(t, bank.Target(func(base string, log *slog.Logger) (banks.Bank, error) {
		return New("mybank", Config{BaseURL: base, RedirectOrigins: []string{server.URL}, InsecureLoopback: true}, banks.Deps{Log: log})
	}))
}
