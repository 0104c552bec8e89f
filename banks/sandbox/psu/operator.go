package psu

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Operator is a sandbox's operator interface.
type Operator struct {
	Client *http.Client
	Origin string // of the sandbox, e.g. http://bank.localhost:8460
}

// NewCustomers says which customers Create opens.
type NewCustomers struct {
	Count        int    `json:"count"`               // 1 to 10000
	User         string `json:"user,omitempty"`      // the name, or with a count above 1 the beginning of the names
	Password     string `json:"password,omitempty"`  // "" lets the bank draw one
	Holder       string `json:"holder,omitempty"`    // of the accounts
	BalanceMinor int64  `json:"balance_minor"`       // cents on each account
	Behaviour    string `json:"behaviour,omitempty"` // settles, late, silent, declines, blocked; "" is settles
}

// Amount is money as JSON has it, in minor units: cents.
type Amount struct {
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
}

// Order is an order the bank received, whatever became of it.
type Order struct {
	PaymentID    string    `json:"payment_id"`
	Bank         string    `json:"bank"`
	EndToEndID   string    `json:"end_to_end_id"`
	Amount       Amount    `json:"amount"`
	CreditorIBAN string    `json:"creditor_iban"`
	CreditorName string    `json:"creditor_name"`
	DebtorAsked  string    `json:"debtor_asked"` // IBAN the TPP named, or ""
	Status       string    `json:"status"`       // transactionStatus
	Reason       string    `json:"reason"`       // of a refusal
	SCAStatus    string    `json:"sca_status"`
	Booked       bool      `json:"booked"` // the payer was debited
	ReceivedAt   time.Time `json:"received_at"`
}

// Transfer is one execution in the sandbox's ledger.
type Transfer struct {
	Position     int64     `json:"position"`
	Bank         string    `json:"bank"`
	PaymentID    string    `json:"payment_id"`
	EndToEndID   string    `json:"end_to_end_id"`
	Amount       Amount    `json:"amount"`
	DebtorIBAN   string    `json:"debtor_iban"`
	DebtorName   string    `json:"debtor_name"`
	CreditorIBAN string    `json:"creditor_iban"`
	CreditorName string    `json:"creditor_name"`
	Remittance   string    `json:"remittance"`
	ExecutedAt   time.Time `json:"executed_at"`
}

// Create opens customers with one account each, in one transaction.
func (o Operator) Create(ctx context.Context, bank string, n NewCustomers) ([]Credentials, error) {
	var out struct {
		PSUs []Credentials `json:"psus"`
	}
	err := o.call(ctx, http.MethodPost, "/sandbox/"+url.PathEscape(bank)+"/psus", n, &out)
	return out.PSUs, err
}

// Persona returns the credentials of one of the bank's standing customers.
func (o Operator) Persona(ctx context.Context, bank, user string) (Credentials, error) {
	var out struct {
		Banks []struct {
			ID       string        `json:"id"`
			Personas []Credentials `json:"personas"`
		} `json:"banks"`
	}
	if err := o.call(ctx, http.MethodGet, "/sandbox/personas", nil, &out); err != nil {
		return Credentials{}, err
	}
	for _, b := range out.Banks {
		for _, p := range b.Personas {
			if b.ID == bank && p.User == user {
				return p, nil
			}
		}
	}
	return Credentials{}, fmt.Errorf("psu: bank %q has no persona %q", bank, user)
}

// Orders lists the orders received under one EndToEndId, oldest first; none
// when the bank never got one.
func (o Operator) Orders(ctx context.Context, endToEndID string) ([]Order, error) {
	return o.orders(ctx, url.Values{"end_to_end_id": {endToEndID}})
}

// Order returns the order of one payment id.
func (o Operator) Order(ctx context.Context, paymentID string) (Order, error) {
	list, err := o.orders(ctx, url.Values{"payment_id": {paymentID}})
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("psu: %d orders have the payment id", len(list))
	}
	if err != nil {
		return Order{}, err
	}
	return list[0], nil
}

func (o Operator) orders(ctx context.Context, q url.Values) ([]Order, error) {
	var out struct {
		Orders []Order `json:"orders"`
	}
	err := o.call(ctx, http.MethodGet, "/sandbox/orders?"+q.Encode(), nil, &out)
	return out.Orders, err
}

// Transfers lists what was executed: under one EndToEndId, or ("") everything
// after a position, at most 1000 at a time, oldest first.
func (o Operator) Transfers(ctx context.Context, endToEndID string, after int64) ([]Transfer, error) {
	q := url.Values{"after": {fmt.Sprint(after)}}
	if endToEndID != "" {
		q.Set("end_to_end_id", endToEndID)
	}
	var out struct {
		Transfers []Transfer `json:"transfers"`
	}
	err := o.call(ctx, http.MethodGet, "/sandbox/ledger?"+q.Encode(), nil, &out)
	return out.Transfers, err
}

// Switch changes the switches that are named: down (bool), lose_before,
// lose_after, lose_status, latency_ms, retry_after_sec (int).
func (o Operator) Switch(ctx context.Context, bank string, change map[string]any) error {
	return o.call(ctx, http.MethodPost, "/sandbox/"+url.PathEscape(bank)+"/switches", change, nil)
}

func (o Operator) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("psu: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(o.Origin, "/")+path, body)
	if err != nil {
		return fmt.Errorf("psu: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	client := o.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("psu: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= 300 {
		why, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("psu: %s %s: %s: %s", method, path, res.Status, bytes.TrimSpace(why))
	}
	if out == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	return json.NewDecoder(res.Body).Decode(out)
}
