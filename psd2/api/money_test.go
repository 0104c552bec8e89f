package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/testkit/account"
)

// connectedID is the account that can be paid from.
const connectedID = "acc_00000000000000000000000009"

var erika = psd2.Party{Name: "MUSTERMANN ERIKA", IBAN: "DE02120300000000202051"}

// cashier gives a merchant the connected account and every scope.
func (m *merchant) cashier() *merchant {
	m.w.t.Helper()
	m.Scopes, m.Accounts[0].ID = api.Scopes, connectedID
	m.save()
	return m
}

func (w *world) cashier(name string) *merchant { return w.merchant(name).cashier() }

// paid is a deposit that his bank has executed, from his own account.
func (m *merchant) paid(minor int64) *psd2.Payment {
	m.w.t.Helper()
	d := m.deposit()
	d.Amount = psd2.Euro(minor)
	created, err := m.client().Create(context.Background(), d, rand.Text())
	if err != nil {
		m.w.t.Fatal(err)
	}
	return m.w.pays(created.ID, erika)
}

// pays has the payer's bank execute a deposit.
func (w *world) pays(id string, source psd2.Party) *psd2.Payment {
	w.t.Helper()
	now := w.now()
	p, err := w.db.UpdatePayment(context.Background(), id, func(p *psd2.Payment) error {
		a := psd2.NewID(psd2.PrefixAttempt, now, rand.Reader)
		if err := p.BeginAttempt(psd2.Attempt{ID: a, BankID: "alpha", EndToEndID: psd2.NewEndToEndID(a)}, psd2.PSU{}, now); err != nil {
			return err
		}
		if err := p.Initiated(a, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example"}, []byte("s"), now); err != nil {
			return err
		}
		p.Report(a, psd2.Report{Status: "ACSC", Payer: source}, now)
		p.JudgePayer(func(psd2.IBAN) string { return psd2.DeriveID(psd2.PrefixSource, [16]byte{7}) }, hub.SameHolder, now)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (m *merchant) refund(p *psd2.Payment, minor int64) *apiclient.Transfer {
	m.w.t.Helper()
	r, err := m.client().Refund(context.Background(), p.ID, apiclient.Refund{Amount: psd2.Euro(minor), Reference: "Refund"}, rand.Text())
	if err != nil {
		m.w.t.Fatal(err)
	}
	return r
}

func (m *merchant) wantedPayout(p *psd2.Payment, minor int64) apiclient.Payout {
	return apiclient.Payout{Amount: psd2.Euro(minor), AccountID: connectedID, Reference: "Payout", Player: psd2.Player{Reference: "player-1"}, SourceID: p.SourceID}
}

func (m *merchant) payout(p *psd2.Payment, minor int64) *apiclient.Transfer {
	m.w.t.Helper()
	t, err := m.client().Payout(context.Background(), m.wantedPayout(p, minor), rand.Text())
	if err != nil {
		m.w.t.Fatal(err)
	}
	return t
}

// carry sends what waits to be sent.
func (w *world) carry() {
	w.t.Helper()
	if _, err := w.hub.StepTransfers(context.Background(), w.now()); err != nil {
		w.t.Fatal(err)
	}
}

// readStatement reads the account to its end.
func (w *world) readStatement() {
	w.t.Helper()
	seq := w.db.Sequencer("test")
	for range 20 {
		if _, err := seq.Step(context.Background(), w.now()); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.hub.StepStatements(context.Background(), w.now()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func wantProblem(t *testing.T, err error, code string) {
	t.Helper()
	var p *apiclient.Problem
	if !errors.As(err, &p) || p.Code != code {
		t.Fatalf("%v, want %s", err, code)
	}
}

func TestRefundOverTheWire(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *world) {
		m := w.cashier("Casino")
		c, ctx := m.client(), context.Background()
		p := m.paid(2500)
		wish := apiclient.Refund{Amount: psd2.Euro(1000), Reference: "Refund 4711", Metadata: map[string]string{"ticket": "7"}}
		r, err := c.Refund(ctx, p.ID, wish, "key-1")
		if err != nil || r.Status != psd2.TransferPending || r.PaymentID != p.ID || r.Payee.IBANMasked != erika.IBAN.Masked() || r.Retryable != nil {
			t.Fatalf("%+v %v", r, err)
		}
		again, err := c.Refund(ctx, p.ID, wish, "key-1")
		if err != nil || again.ID != r.ID {
			t.Fatal("the same key made another refund", err)
		}
		wish.Amount = psd2.Euro(1501)
		_, err = c.Refund(ctx, p.ID, wish, "key-1")
		wantProblem(t, err, "idempotency_key_reused")
		_, err = c.Refund(ctx, p.ID, wish, "key-2")
		wantProblem(t, err, "refund_exceeds_payment")
		w.carry()
		if r, err = c.GetRefund(ctx, r.ID); err != nil || r.Status != psd2.TransferExecuted || w.till.Paid(r.EndToEndID) != 1 {
			t.Fatalf("%+v %v", r, err)
		}
		got, err := c.Get(ctx, p.ID)
		if err != nil || got.Refunded == nil || *got.Refunded != psd2.Euro(1000) {
			t.Fatal(got.Refunded, err)
		}
		list, err := c.Refunds(ctx, p.ID, nil)
		if err != nil || len(list.Data) != 1 || list.Data[0].ID != r.ID {
			t.Fatal(list, err)
		}
		if r, err = c.RecallRefund(ctx, r.ID, psd2.RecallDuplicate, "key-3"); err != nil || r.Recall == nil || r.Recall.Status != psd2.RecallRequested {
			t.Fatal(r, err)
		}
		_, err = c.RecallRefund(ctx, r.ID, psd2.RecallDuplicate, "key-4")
		wantProblem(t, err, "transfer_recalled")
		w.till.GiveBack(r.EndToEndID, "FOCR")
		w.readStatement()
		if r, err = c.GetRefund(ctx, r.ID); err != nil || r.Status != psd2.TransferReturned || r.Recall.Status != psd2.RecallAccepted {
			t.Fatal(r, err)
		}
		events, err := c.Events(ctx, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, e := range events.Data {
			if strings.HasPrefix(e.Type, "refund.") {
				types = append(types, e.Type)
			}
		}
		if want := []string{"refund.created", "refund.authorized", "refund.executed", "refund.recalled", "refund.returned"}; !slices.Equal(types, want) {
			t.Fatal(types)
		}
	})
}

// TestSourceUnknownKeepsTheKey: the payer's account becomes known with the
// statement, and the same request with the same key then succeeds.
func TestSourceUnknownKeepsTheKey(t *testing.T) {
	w := newWorld(t)
	m := w.cashier("Casino")
	p := w.pays(m.create().ID, psd2.Party{})
	wish := apiclient.Refund{Amount: psd2.Euro(1), Reference: "Refund"}
	_, err := m.client().Refund(context.Background(), p.ID, wish, "key")
	wantProblem(t, err, "source_unknown")
	w.till.Book(banks.Booking{Kind: banks.BookingCredit, In: true, Amount: p.Amount, EndToEndID: p.Last().EndToEndID, Counterparty: erika})
	w.readStatement()
	if _, err := m.client().Refund(context.Background(), p.ID, wish, "key"); err != nil {
		t.Fatal(err)
	}
}

func TestPayoutOverTheWire(t *testing.T) {
	w := newWorld(t)
	m := w.cashier("Casino")
	c, ctx := m.client(), context.Background()
	p := m.paid(2500)
	w.till.Next(account.Unreachable, "")
	failed := m.payout(p, 700)
	w.carry()
	w.pass(time.Second)
	w.till.Next(account.LostAfter, "")
	unknown := m.payout(p, 800)
	w.carry()
	w.pass(time.Second / 2) // it is asked about after a second
	w.till.Next(account.None, "")
	executed := m.payout(p, 900)
	w.carry()
	for id, want := range map[string]psd2.TransferState{failed.ID: psd2.TransferFailed, unknown.ID: psd2.TransferUnknown, executed.ID: psd2.TransferExecuted} {
		got, err := c.GetPayout(ctx, id)
		if err != nil || got.Status != want || (got.Retryable != nil) != (want == psd2.TransferFailed) || got.Retryable != nil && !*got.Retryable {
			t.Errorf("%+v %v, want %s", got, err, want)
		}
		list, err := c.Payouts(ctx, map[string][]string{"status": {string(want)}})
		if err != nil || len(list.Data) != 1 || list.Data[0].ID != id {
			t.Errorf("%s: %+v %v", want, list, err)
		}
	}
	w.pass(time.Second)
	w.carry()
	if got, err := c.GetPayout(ctx, unknown.ID); err != nil || got.Status != psd2.TransferExecuted {
		t.Errorf("asked, the bank has said that it was executed: %+v %v", got, err)
	}
	list, err := c.Payouts(ctx, map[string][]string{"limit": {"2"}, "player_reference": {"player-1"}})
	if err != nil || len(list.Data) != 2 || list.NextCursor == "" || list.Data[0].ID != executed.ID {
		t.Fatal(list, err)
	}
	if _, err := c.RecallPayout(ctx, failed.ID, psd2.RecallRequest, rand.Text()); err == nil {
		t.Fatal("a payout that was never sent was recalled")
	}
	if _, err := c.RecallPayout(ctx, executed.ID, psd2.RecallWrongAccount, rand.Text()); err != nil {
		t.Fatal(err)
	}
}

func TestPayoutRefusals(t *testing.T) {
	w := newWorld(t)
	m := w.cashier("Casino")
	p := m.paid(2500)
	for code, change := range map[string]func(*apiclient.Payout){
		"payment_source_not_found": func(r *apiclient.Payout) { r.Player.Reference = "another" },
		"payee_missing":            func(r *apiclient.Payout) { r.SourceID = "" },
		"account_unknown":          func(r *apiclient.Payout) { r.AccountID = "acc_00000000000000000000000001" },
		"amount_out_of_range":      func(r *apiclient.Payout) { r.Amount.AmountMinor = 0 },
		"currency_not_supported":   func(r *apiclient.Payout) { r.Amount.Currency = "USD" },
		"reference_invalid":        func(r *apiclient.Payout) { r.Reference = "ä" },
		"player_reference_missing": func(r *apiclient.Payout) { r.Player.Reference = "" },
		"payee_not_verifiable": func(r *apiclient.Payout) {
			r.SourceID, r.Payee = "", &apiclient.Payee{Name: "Erika Mustermann", IBAN: erika.IBAN}
		},
	} {
		wish := m.wantedPayout(p, 100)
		change(&wish)
		_, err := m.client().Payout(context.Background(), wish, rand.Text())
		wantProblem(t, err, code)
	}
	got := m.post("/v1/payouts", rand.Text(), `{"amount":{"amount_minor":1,"currency":"EUR"},"state":"executed"}`)
	if got.StatusCode != 400 || got.code() != "json_unknown_key" {
		t.Fatal(got.StatusCode, got.code())
	}
	got = m.post("/v1/payouts", rand.Text(), "{}", setHeader("Rialto-Signature", "x..y"))
	if got.StatusCode != 400 && got.StatusCode != 401 {
		t.Fatal(got.StatusCode)
	}
	m.Scopes = []string{api.ScopePaymentsRead, api.ScopePaymentsWrite}
	m.save()
	for _, target := range []string{"/v1/payouts", "/v1/payments/" + p.ID + "/refunds"} {
		if got := m.post(target, rand.Text(), "{}"); got.code() != "insufficient_scope" {
			t.Errorf("%s: %s", target, got.code())
		}
	}
	for _, target := range []string{"/v1/accounts", "/v1/settlements"} {
		if got := m.get(target); got.code() != "insufficient_scope" {
			t.Errorf("%s: %s", target, got.code())
		}
	}
}

// books is a merchant with a day of business: a settled deposit, a refund, a
// missing deposit, and money from a stranger with a dangerous name.
func books(t *testing.T, options ...option) (*world, *merchant) {
	w := newWorld(t, options...)
	m := w.cashier("Casino")
	settled := m.paid(2500)
	m.paid(300) // never shows
	m.refund(settled, 500)
	w.carry()
	w.till.Book(banks.Booking{Kind: banks.BookingCredit, In: true, Amount: settled.Amount, EndToEndID: settled.Last().EndToEndID, Counterparty: erika})
	w.till.Book(banks.Booking{Kind: banks.BookingCredit, In: true, Amount: psd2.Euro(42), Counterparty: psd2.Party{Name: `=HYPERLINK("http://x","y")`, IBAN: "DE75512108001245126199"},
		Remittance: "@SUM(1+1)\t\"quoted\", and\r\nmore"})
	w.readStatement()
	w.pass(25 * time.Hour)
	w.readStatement()
	return w, m
}

func TestAccountsAndSettlements(t *testing.T) {
	_, m := books(t)
	var account struct {
		Connected bool
		Balance   int64                 `json:"balance_minor"`
		Unknown   *int64                `json:"unexplained_minor"`
		Entries   map[string]psd2.Tally `json:"entries"`
		Missing   psd2.Tally            `json:"missing"`
	}
	got := m.get("/v1/accounts/" + connectedID)
	if err := json.Unmarshal(got.body, &account); err != nil || !account.Connected || account.Unknown == nil || *account.Unknown != 0 ||
		account.Balance != 1_000_000+2500-500+42 || account.Entries["matched"] != (psd2.Tally{Count: 2, InMinor: 2500, OutMinor: 500}) ||
		account.Entries["foreign"].InMinor != 42 || account.Missing != (psd2.Tally{Count: 1, InMinor: 300}) {
		t.Fatalf("%v %s", err, got.body)
	}
	if all := m.get("/v1/accounts"); all.StatusCode != 200 || !bytes.Contains(all.body, got.body[:40]) {
		t.Fatalf("%s", all.body)
	}
	if missing := m.get("/v1/accounts/" + connectedID + "/missing"); !strings.Contains(string(missing.body), `"amount_minor":300`) {
		t.Fatalf("%s", missing.body)
	}
	page := m.get("/v1/accounts/" + connectedID + "/entries?limit=2")
	var entries struct {
		Data       []struct{ Class string }
		NextCursor string `json:"next_cursor"`
	}
	if err := json.Unmarshal(page.body, &entries); err != nil || len(entries.Data) != 2 || entries.NextCursor == "" {
		t.Fatalf("%v %s", err, page.body)
	}
	if rest := m.get("/v1/accounts/" + connectedID + "/entries?cursor=" + entries.NextCursor); !strings.Contains(string(rest.body), `"next_cursor":null`) || !strings.Contains(string(rest.body), "HYPERLINK") {
		t.Fatalf("%s", rest.body)
	}
	if foreign := m.get("/v1/accounts/" + connectedID + "/entries?class=foreign"); strings.Count(string(foreign.body), `"class"`) != 1 {
		t.Fatalf("%s", foreign.body)
	}
	var report struct {
		Data []struct {
			Day        string
			Opening    int64 `json:"opening_minor"`
			Closing    int64 `json:"closing_minor"`
			Difference int64 `json:"difference_minor"`
		}
	}
	got = m.get("/v1/settlements?account_id=" + connectedID)
	if err := json.Unmarshal(got.body, &report); err != nil || len(report.Data) != 1 || report.Data[0].Day != "2026-11-22" || report.Data[0].Difference != 0 ||
		report.Data[0].Opening != 1_000_000 || report.Data[0].Closing != 1_002_042 {
		t.Fatalf("%v %s", err, got.body)
	}
	for target, code := range map[string]string{
		"/v1/settlements?from=2026-11-22&to=2026-11-21": "range_invalid", "/v1/settlements?from=2020-01-01": "range_invalid", "/v1/settlements?from=x": "date_invalid",
		"/v1/settlements?format=xls": "format_not_supported", "/v1/settlements?format=camt.053": "format_not_supported",
		"/v1/settlements?account_id=acc_00000000000000000000000001": "account_unknown", "/v1/accounts/" + connectedID + "/entries?class=odd": "class_unknown",
	} {
		if got := m.get(target); got.StatusCode != 400 || got.code() != code {
			t.Errorf("%s: %d %s", target, got.StatusCode, got.code())
		}
	}
}

// TestCSVHoldsNoFormula: D04. What strangers write is text to a spreadsheet,
// and the file is still whole CSV.
func TestCSVHoldsNoFormula(t *testing.T) {
	w, m := books(t)
	byFormat := m.get("/v1/settlements?format=csv")
	req := w.request(http.MethodGet, "/v1/settlements", "")
	req.Header.Set("Authorization", "Bearer "+m.token())
	req.Header.Set("Accept", "text/csv, application/json;q=0.5")
	byAccept := w.send(req)
	if byFormat.StatusCode != 200 || !bytes.Equal(byFormat.body, byAccept.body) || !strings.HasPrefix(byFormat.Header.Get("Content-Type"), "text/csv") {
		t.Fatalf("%d %s %s", byFormat.StatusCode, byFormat.Header.Get("Content-Type"), byFormat.body)
	}
	rows, err := csv.NewReader(bytes.NewReader(byFormat.body)).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Fatal(len(rows), err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n\x00") {
				t.Errorf("a cell begins with %q", cell)
			}
		}
	}
	if last := rows[3]; last[11] != `'=HYPERLINK("http://x","y")` || !strings.HasPrefix(last[13], "'@SUM") || last[5] != "0.42" || last[7] != "foreign" {
		t.Fatalf("%q", last)
	}
}

// writer stands for the one that knows the format.
type writer struct{}

func (writer) WriteStatement(account psd2.PayeeAccount, s psd2.Settlement, entries []psd2.StatementEntry) ([]byte, error) {
	return fmt.Appendf(nil, "<Document>%s %s %d %d %d</Document>", account.ID, s.Day, *s.Opening, *s.Closing, len(entries)), nil
}

func TestStatementIsWrittenForOneDay(t *testing.T) {
	_, m := books(t, func(d *api.Deps) { d.Statements = writer{} })
	got := m.get("/v1/settlements?format=camt.053&from=2026-11-22&to=2026-11-22")
	if want := "<Document>" + connectedID + " 2026-11-22 1000000 1002042 3</Document>"; got.StatusCode != 200 || string(got.body) != want {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	if got := m.get("/v1/settlements?format=camt.053"); got.code() != "range_invalid" {
		t.Fatal(got.code())
	}
	if got := m.get("/v1/settlements?format=camt.053&from=2026-11-01&to=2026-11-01"); got.code() != "statement_not_found" {
		t.Fatal(got.code())
	}
}
