// Package trial makes a bank of the sandbox the target of banks/bankstest: good
// orders, a payer who approves or declines, and the bank's own books. Only the
// adapter is missing, and whoever has one gives it to Target:
//
//	bank := trial.Bank{Operator: psu.Operator{Origin: "http://127.0.0.1:8401"}, ID: "sandbank"}
//	results := bankstest.Exercise(ctx, bank.Target(newAdapter))
//
// It meets the sandbox over HTTP alone, so the sandbox may run anywhere.
//
// Neighbours: banks/bankstest (the suite), banks/sandbox/psu (the payer and the
// operator's interface). Used by the adapters' tests and by rialto certify.
package trial

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
)

// Bank is one bank of a running sandbox.
type Bank struct {
	Operator psu.Operator // of the sandbox; its client also carries the payers' browsers
	ID       string
	// Named: orders say who pays (PSU-ID and debtor account), for banks that
	// want to know.
	Named bool
	// Notifies: the sandbox's Step is driven, so that it tells news.
	Notifies bool
}

// Target is the bank with the adapter that newAdapter makes against a base URL,
// which stands for {origin}/{bank}. The profile needs the sandbox's origin as
// redirect origin, and plain http to loopback.
func (b Bank) Target(newAdapter func(base string, log *slog.Logger) (banks.Bank, error)) bankstest.Target {
	p := &people{bank: b, byOrder: map[string]psu.Credentials{}}
	return bankstest.Target{
		BankURL:       strings.TrimRight(b.Operator.Origin, "/") + "/" + b.ID,
		New:           newAdapter,
		Order:         p.order,
		Ledger:        b.Ledger,
		Approve:       p.acts(psu.Wish{}),
		Decline:       p.acts(psu.Wish{Decline: true}),
		Answer:        p.answer,
		Funds:         p.funds,
		Notifies:      b.Notifies,
		Creates:       creates,
		ForgeRedirect: forgeRedirect,
	}
}

// creates says that only the initiation itself can create a payment: not a
// token, not an authorisation, not a question about funds.
func creates(r *http.Request) bool {
	_, product, ok := strings.Cut(r.URL.Path, "/v1/payments/")
	return r.Method == http.MethodPost && ok && !strings.Contains(product, "/")
}

// payerBalance is enough for any check's order that is paid, in cents.
const payerBalance = 1_000_000

// NewPayer opens an account for somebody new: a TOTP code works once, so that
// one payer could pay only twice a minute.
func (b Bank) NewPayer(ctx context.Context) (psu.Credentials, error) {
	list, err := b.Operator.Create(ctx, b.ID, psu.NewCustomers{Count: 1, Holder: "Paula Payer", BalanceMinor: payerBalance})
	if err != nil {
		return psu.Credentials{}, err
	}
	if len(list) != 1 {
		return psu.Credentials{}, fmt.Errorf("trial: %d customers were opened, want 1", len(list))
	}
	return list[0], nil
}

// Walk is that payer's way through the bank's pages, in a browser of his own. It
// returns the address to which the bank sends him in the end.
func (b Bank) Walk(ctx context.Context, c psu.Credentials, in banks.Initiation, w psu.Wish) (string, error) {
	browser, err := b.browser()
	if err != nil {
		return "", err
	}
	out, err := psu.Walk(ctx, browser, in.Prompt.RedirectURL, c, w, time.Now)
	return out.Location, err
}

func (b Bank) browser() (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	browser := &http.Client{Jar: jar}
	if b.Operator.Client != nil {
		browser.Transport = b.Operator.Client.Transport
	}
	return browser, nil
}

// Ledger is what the bank holds under an EndToEndId. An order that was booked
// is given as it was booked.
func (b Bank) Ledger(ctx context.Context, endToEndID string) ([]bankstest.Held, error) {
	orders, err := b.Operator.Orders(ctx, endToEndID)
	if err != nil {
		return nil, err
	}
	held := make([]bankstest.Held, len(orders))
	byID := make(map[string]*bankstest.Held, len(orders))
	for i, o := range orders {
		held[i] = bankstest.Held{Amount: money(o.Amount), Creditor: psd2.IBAN(o.CreditorIBAN)}
		byID[o.PaymentID] = &held[i]
	}
	transfers, err := b.Operator.Transfers(ctx, endToEndID, 0)
	if err != nil {
		return nil, err
	}
	for _, t := range transfers {
		h := byID[t.PaymentID]
		if h == nil || h.Booked {
			return nil, errors.New("trial: money moved twice for an order, or for none that was received")
		}
		h.Amount, h.Creditor, h.Booked = money(t.Amount), psd2.IBAN(t.CreditorIBAN), true
	}
	for _, o := range orders {
		if o.Booked && !byID[o.PaymentID].Booked {
			return nil, errors.New("trial: an order is booked without a transfer")
		}
	}
	return held, nil
}

func money(a psu.Amount) psd2.Money {
	return psd2.Money{AmountMinor: a.AmountMinor, Currency: a.Currency}
}

// Order is a good order with ids of its own.
func Order(m psd2.Money) banks.Order {
	id := psd2.NewID(psd2.PrefixAttempt, time.Now(), rand.Reader)
	return banks.Order{
		AttemptID:  id,
		EndToEndID: psd2.NewEndToEndID(id),
		RequestID:  uuid.NewString(),
		TraceID:    traceID(),
		Amount:     m,
		Creditor:   psd2.Party{Name: "Lucky Lagoon Casino", IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX"},
		Remittance: "Deposit 4711",
		PSU:        psd2.PSU{IP: "192.0.2.77", Port: "51234", UserAgent: "Mozilla/5.0 (test)", Accept: "text/html", AcceptLanguage: "de-DE,de;q=0.9"},
		ReturnURL:  "https://pay.example/return/" + id,
		FailURL:    "https://pay.example/return/" + id + "/failed",
	}
}

// traceID draws the 32 hexadecimal digits of a W3C trace id.
func traceID() string {
	var b [16]byte
	if _, err := io.ReadFull(rand.Reader, b[:]); err != nil {
		panic("trial: no randomness: " + err.Error())
	}
	return hex.EncodeToString(b[:])
}

// forgeRedirect replaces scaRedirect in an answer to an initiation. The answer
// stays as it is when it has none.
func forgeRedirect(answer []byte, href string) []byte {
	var a struct {
		Links struct {
			SCARedirect struct {
				Href string `json:"href"`
			} `json:"scaRedirect"`
		} `json:"_links"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return answer
	}
	own, _ := json.Marshal(a.Links.SCARedirect.Href) // strings that came out of JSON go back into it
	other, err := json.Marshal(href)
	if err != nil {
		return answer
	}
	return bytes.Replace(answer, own, other, 1)
}
