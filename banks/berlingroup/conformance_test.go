package berlingroup

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
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

// pretend is a sandbox with its own file, which is read as the bank's books.
type pretend struct {
	t      *testing.T
	server *httptest.Server
	banks  *sandbox.Sandbox
	books  *sql.DB
}

func newSandbox(t *testing.T) *pretend {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bank.db")
	all := append(sandbox.DefaultBanks(), sandbox.Bank{ID: "endbank", Name: "Endbank", BankCode: "90050000", Final: "ACSC"})
	s, err := sandbox.Open(sandbox.Config{File: file, Banks: all}, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	books, err := sql.Open("sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		server.Close()
		books.Close()
		s.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return &pretend{t, server, s, books}
}

// profile is what an operator would write for a sandbox bank.
func (s *pretend) profile() Config {
	return Config{RedirectOrigins: []string{s.server.URL}, InsecureLoopback: true, RedirectLife: 15 * time.Minute, DebtorAccount: DebtorEmpty}
}

// customer opens an account of its own for every payment, since a TOTP code
// works once.
func (s *pretend) customer(t *testing.T, bank string) psu.Credentials {
	t.Helper()
	op := psu.Operator{Origin: s.server.URL}
	list, err := op.Create(t.Context(), bank, psu.NewCustomers{Count: 1, Holder: "Paula Payer", BalanceMinor: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return list[0]
}

// walk is the payer's way through the bank's pages.
func (s *pretend) walk(ctx context.Context, c psu.Credentials, in banks.Initiation, w psu.Wish) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	_, err = psu.Walk(ctx, &http.Client{Jar: jar}, in.RedirectURL, c, w, time.Now)
	return err
}

// debtorOf is the account an order named, from the bank's books.
func (s *pretend) debtorOf(t *testing.T, in banks.Initiation) (iban string) {
	t.Helper()
	var st state
	if err := json.Unmarshal(in.State, &st); err != nil {
		t.Fatal(err)
	}
	if err := s.books.QueryRow(`SELECT debtor_asked FROM orders WHERE id = ?`, path.Base(st.Payment)).Scan(&iban); err != nil {
		t.Fatal(err)
	}
	return iban
}

func (s *pretend) target(t *testing.T, bank string, change func(*Config)) bankstest.Target {
	return bankstest.Target{
		BankURL: s.server.URL + "/" + bank,
		New: func(base string, log *slog.Logger) (banks.Bank, error) {
			c := s.profile()
			c.BaseURL = base
			if change != nil {
				change(&c)
			}
			return New(bank, c, banks.Deps{Log: log, Wrap: newJudge(t, false).wrap})
		},
		Order: order,
		Approve: func(ctx context.Context, in banks.Initiation) error {
			return s.walk(ctx, s.customer(t, bank), in, psu.Wish{})
		},
		Decline: func(ctx context.Context, in banks.Initiation) error {
			return s.walk(ctx, s.customer(t, bank), in, psu.Wish{Decline: true})
		},
		Ledger: s.ledger,
		ForgeRedirect: func(answer []byte, href string) []byte {
			a, _ := parse(answer)
			own, _ := json.Marshal(a.link("scaRedirect"))
			other, _ := json.Marshal(href)
			return bytes.Replace(answer, own, other, 1)
		},
	}
}

func (s *pretend) ledger(ctx context.Context, endToEndID string) ([]bankstest.Held, error) {
	rows, err := s.books.QueryContext(ctx, `SELECT o.amount_minor, o.creditor_iban, EXISTS (SELECT 1 FROM transfers t WHERE t.order_id = o.id
		AND t.amount_minor = o.amount_minor AND t.creditor_iban = o.creditor_iban) FROM orders o WHERE o.end_to_end_id = ?`, endToEndID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []bankstest.Held
	for rows.Next() {
		h := bankstest.Held{Amount: psd2.Euro(0)}
		if err := rows.Scan(&h.Amount.AmountMinor, &h.Creditor, &h.Booked); err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, rows.Err()
}

var orders atomic.Int64

// order is a good order with ids of its own.
func order(m psd2.Money) banks.Order {
	id := psd2.NewID(psd2.PrefixAttempt, time.UnixMilli(1_700_000_000_000+orders.Add(1)), zeros{})
	return banks.Order{
		AttemptID:  id,
		EndToEndID: psd2.NewEndToEndID(id),
		RequestID:  uuid.NewString(),
		TraceID:    strings.ReplaceAll(uuid.NewString(), "-", ""),
		Amount:     m,
		Creditor:   psd2.Party{Name: "Lucky Lagoon Casino", IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX"},
		Remittance: "Deposit 4711",
		PSU:        psd2.PSU{IP: "192.0.2.77", Port: "51234", UserAgent: "Mozilla/5.0 (test)", Accept: "text/html", AcceptLanguage: "de-DE,de;q=0.9"},
		ReturnURL:  "https://pay.example/return/" + id,
		FailURL:    "https://pay.example/return/" + id + "/failed",
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
