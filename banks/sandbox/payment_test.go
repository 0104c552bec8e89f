package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
)

// TestEachPersonaEndsAsItsStorySays pays once as each of them.
func TestEachPersonaEndsAsItsStorySays(t *testing.T) {
	w := open(t)
	for _, c := range []struct{ user, status, sca, reason, back string }{
		{"anna", "ACCC", "finalised", "", okURI},
		{"bert", "ACCC", "finalised", "", okURI},
		{"clara", "RJCT", "finalised", "AM04", nokURI},
		{"dora", "RJCT", "failed", "CUST", nokURI},
		{"emil", "RJCT", "finalised", "AC06", nokURI},
		{"frieda", "ACSP", "finalised", "", okURI},
		{"hanna", "ACCC", "finalised", "", okURI},
	} {
		t.Run(c.user, func(t *testing.T) {
			p := w.initiate("sandbank", order{endToEnd: "STORY-" + c.user})
			who := w.persona("sandbank", c.user)
			before := w.balance(who.Accounts[0].IBAN)
			out := w.pays(p, who, psu.Wish{})
			if out.Location != c.back {
				t.Errorf("the payer was sent to %q, want %q", out.Location, c.back)
			}
			if out.Exchanges > 4 {
				t.Errorf("%d exchanges, want 4 at most", out.Exchanges)
			}
			w.wantStatus(p, c.status, c.sca, c.reason)
			moved, want := before-w.balance(who.Accounts[0].IBAN), int64(0)
			if c.status == "ACCC" {
				want = 2500
			}
			if moved != want || len(w.transfers("STORY-"+c.user)) != int(want/2500) {
				t.Errorf("%d cents left the account in %d transfers, want %d", moved, len(w.transfers("STORY-"+c.user)), want)
			}
		})
	}
}

func TestLateOrderExecutesOnceWhenItIsDue(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{endToEnd: "LATE"})
	w.pays(p, w.persona("sandbank", "frieda"), psu.Wish{})
	select {
	case <-w.bank.Wake():
	default:
		t.Error("Step was not woken")
	}
	ctx := context.Background()
	next, err := w.bank.Step(ctx, w.clock.Now())
	if err != nil || !next.Equal(w.clock.Now().Add(10*second)) {
		t.Fatalf("next %v, %v", next, err)
	}
	w.wantStatus(p, "ACSP", "finalised", "")
	for range 2 {
		if next, err = w.bank.Step(ctx, w.clock.Add(10*second)); err != nil || !next.IsZero() {
			t.Fatalf("next %v, %v", next, err)
		}
	}
	w.wantStatus(p, "ACCC", "finalised", "")
	if n := len(w.transfers("LATE")); n != 1 {
		t.Errorf("%d transfers, want 1", n)
	}
}

func TestLateOrderWithoutMoneyLeftIsRejected(t *testing.T) {
	w := open(t)
	who := w.customer("sandbank", psu.NewCustomers{Count: 1, BalanceMinor: 3000, Behaviour: "late"})
	first, second := w.initiate("sandbank", order{}), w.initiate("sandbank", order{})
	w.pays(first, who, psu.Wish{})
	w.clock.Add(30 * time.Second)
	w.pays(second, who, psu.Wish{})
	if _, err := w.bank.Step(context.Background(), w.clock.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	w.wantStatus(first, "ACCC", "finalised", "")
	w.wantStatus(second, "RJCT", "finalised", "AM04")
}

func TestSilentBankExecutesAndLosesItsAnswers(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{endToEnd: "SILENT"})
	w.pays(p, w.persona("sandbank", "gustav"), psu.Wish{})
	for i := range 3 {
		if a := w.call("GET", p.Status, nil, nil); a.err == nil {
			t.Errorf("question %d was answered with %d", i, a.status)
		}
	}
	w.wantStatus(p, "ACCC", "finalised", "")
	if n := len(w.transfers("SILENT")); n != 1 {
		t.Errorf("%d transfers, want 1", n)
	}
}

// The standard has no deduplication, and a sandbox that had one would hide the
// fault of a client that sends twice.
func TestSameInitiationTwiceIsTwoPayments(t *testing.T) {
	w := open(t)
	id := newUUID()
	same := func(h http.Header, _ map[string]any) { h.Set("X-Request-ID", id) }
	a := w.initiate("sandbank", order{endToEnd: "TWICE", mutate: same})
	b := w.initiate("sandbank", order{endToEnd: "TWICE", mutate: same})
	if a.PaymentID == b.PaymentID {
		t.Fatal("the second POST was recognised")
	}
	who := w.persona("sandbank", "anna")
	w.pays(a, who, psu.Wish{})
	w.clock.Add(30 * second)
	w.pays(b, who, psu.Wish{})
	if n := len(w.transfers("TWICE")); n != 2 {
		t.Errorf("%d transfers, want 2", n)
	}
}

// TestDoubleClickOnPayBooksOnce sends the confirmation many times at once with
// every code that is valid just now.
func TestDoubleClickOnPayBooksOnce(t *testing.T) {
	w := open(t)
	who := w.persona("sandbank", "anna")
	p := w.initiate("sandbank", order{endToEnd: "CLICK"})
	browser := w.payer()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res := post(t, browser, p.SCARedirect+"/login", "user=anna&password=sandbox&action=login")
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("login: %d", res.StatusCode)
	}
	var wait sync.WaitGroup
	for i := range 24 {
		code, err := psu.TOTP(who.TOTPSecret, w.clock.Now().Add(time.Duration(i%3-1)*30*second))
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			res := post(t, browser, p.SCARedirect+"/confirm", "action=pay&code="+code)
			if to := res.Header.Get("Location"); to != okURI {
				t.Errorf("click ended with %d at %q", res.StatusCode, to)
			}
		})
	}
	wait.Wait()
	if n := len(w.transfers("CLICK")); n != 1 {
		t.Errorf("%d transfers, want 1", n)
	}
	w.wantStatus(p, "ACCC", "finalised", "")
}

// Many payers drain one account at the same time: no cent too much leaves it.
func TestConcurrentPaymentsNeverOverdraw(t *testing.T) {
	w := open(t, sandbox.Config{File: t.TempDir() + "/bank.db"})
	who := w.customer("sandbank", psu.NewCustomers{Count: 1, BalanceMinor: 5000})
	var wait sync.WaitGroup
	for i := range 12 {
		p := w.initiate("sandbank", order{amount: "30.00", endToEnd: fmt.Sprintf("DRAIN%d", i)})
		wait.Go(func() {
			_, err := w.walk(p, who, psu.Wish{}) // two codes are valid, the money is enough for one payment
			var refused *psu.Refused
			if err != nil && !asRefused(err, &refused) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if left, paid := w.balance(who.Accounts[0].IBAN), len(w.transfers("")); paid != 1 || left != 2000 {
		t.Errorf("%d transfers, %d cents left", paid, left)
	}
}

func TestAmountsAreExact(t *testing.T) {
	w := open(t)
	who := w.customer("sandbank", psu.NewCustomers{Count: 1, BalanceMinor: 99_999_999_999})
	for sent, want := range map[string]string{"0.01": "0.01", "1.1": "1.10", "10": "10.00", "12.340": "12.34", "1234567.89": "1234567.89", "900000000.07": "900000000.07"} {
		p := w.initiate("sandbank", order{amount: sent, endToEnd: "AMT" + sent})
		w.clock.Add(30 * second)
		w.pays(p, who, psu.Wish{})
		if got := w.get(payments("sandbank")+"/"+p.PaymentID, 200).text("instructedAmount", "amount"); got != want {
			t.Errorf("%s became %s", sent, got)
		}
		list := w.transfers("AMT" + sent)
		if len(list) != 1 || fmt.Sprintf("%d.%02d", list[0].Amount.AmountMinor/100, list[0].Amount.AmountMinor%100) != want {
			t.Errorf("%s was booked as %+v", sent, list)
		}
	}
	if left := w.balance(who.Accounts[0].IBAN); left != 99_999_999_999-(1+110+1000+1234+123456789+90000000007) {
		t.Errorf("%d cents left", left)
	}
}

// The holder appears where the bank's mode says, and nowhere else.
func TestHolderIsNamedWhereTheBankNamesHim(t *testing.T) {
	for _, c := range []struct {
		bank              string
		status, statement bool
	}{{"sandbank", true, true}, {"deichbank", false, true}, {"heidebank", false, false}} {
		t.Run(c.bank, func(t *testing.T) {
			w := open(t)
			p := w.initiate(c.bank, order{endToEnd: "NAME"})
			who := w.persona(c.bank, "hanna")
			if a := w.get(payments(c.bank)+"/"+p.PaymentID, 200); a.text("debtorName") != "" || a.text("debtorAccount", "iban") != "" {
				t.Error("the payer is named before he has authenticated")
			}
			w.pays(p, who, psu.Wish{})
			info := w.get(payments(c.bank)+"/"+p.PaymentID, 200)
			if got := info.text("debtorName") == "Erika Fremd"; got != c.status {
				t.Errorf("debtorName %q", info.text("debtorName"))
			}
			if info.text("debtorAccount", "iban") != who.Accounts[0].IBAN {
				t.Errorf("debtorAccount %q", info.text("debtorAccount", "iban"))
			}
			raw, _ := json.Marshal(w.wantStatus(p, "ACCC", "finalised", "").body)
			if got := strings.Contains(string(raw), "Erika Fremd"); got != c.status {
				t.Errorf("status: %s", raw)
			}
			if got := strings.Contains(body(t, w.srv.Client(), w.srv.URL+"/sandbox/accounts/"+payeeIBAN+"/entries"), "Erika Fremd"); got != c.statement {
				t.Errorf("named in the statement: %v", got)
			}
		})
	}
}

func TestRestartKeepsOrdersMoneyAndUsedCodes(t *testing.T) {
	path := t.TempDir() + "/bank.db"
	w := open(t, sandbox.Config{File: path})
	open1, late, paid := w.initiate("sandbank", order{endToEnd: "R1"}), w.initiate("sandbank", order{endToEnd: "R2"}), w.initiate("sandbank", order{endToEnd: "R3"})
	w.pays(late, w.persona("sandbank", "frieda"), psu.Wish{})
	anna := w.persona("sandbank", "anna")
	w.pays(paid, anna, psu.Wish{})
	left := w.balance(anna.Accounts[0].IBAN)
	w.stop()
	v := open(t, sandbox.Config{File: path})
	if got := v.balance(anna.Accounts[0].IBAN); got != left || got != 10_000_000-2500 {
		t.Errorf("balance %d, want %d", got, left)
	}
	v.wantStatus(paid, "ACCC", "finalised", "")
	v.wantStatus(late, "ACSP", "finalised", "")
	if _, err := v.bank.Step(context.Background(), v.clock.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	v.wantStatus(late, "ACCC", "finalised", "")
	open1.SCARedirect = v.srv.URL + open1.SCARedirect[strings.Index(open1.SCARedirect, "/sandbank"):]
	v.pays(open1, anna, psu.Wish{})
	if n := len(v.transfers("")); n != 3 {
		t.Errorf("%d transfers, want 3", n)
	}
}

func TestOrderLapsesWithItsRedirect(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{})
	w.clock.Add(15*time.Minute - 1)
	w.wantStatus(p, "RCVD", "received", "")
	w.clock.Add(1)
	w.wantStatus(p, "RJCT", "failed", "DS24")
	if _, err := w.walk(p, w.persona("sandbank", "anna"), psu.Wish{}); err == nil {
		t.Error("a lapsed order was paid")
	}
	if a := w.call("DELETE", payments("sandbank")+"/"+p.PaymentID, nil, nil); a.status != http.StatusMethodNotAllowed {
		t.Errorf("cancel: %d", a.status)
	}
}

func TestCancelWorksUntilThePayerHasConfirmed(t *testing.T) {
	w := open(t)
	p, q := w.initiate("sandbank", order{endToEnd: "C1"}), w.initiate("sandbank", order{endToEnd: "C2"})
	if a := w.call("DELETE", payments("sandbank")+"/"+p.PaymentID, nil, nil); a.status != http.StatusNoContent {
		t.Fatalf("cancel: %d", a.status)
	}
	w.wantStatus(p, "CANC", "failed", "")
	anna := w.persona("sandbank", "anna")
	if _, err := w.walk(p, anna, psu.Wish{}); err == nil {
		t.Error("a cancelled order was paid")
	}
	w.pays(q, anna, psu.Wish{})
	if a := w.call("DELETE", payments("sandbank")+"/"+q.PaymentID, nil, nil); a.status != http.StatusMethodNotAllowed || a.code() != "CANCELLATION_INVALID" {
		t.Errorf("late cancel: %d %s", a.status, a.code())
	}
	w.wantStatus(q, "ACCC", "finalised", "")
	if len(w.transfers("C1")) != 0 || len(w.transfers("C2")) != 1 {
		t.Error("the ledger disagrees")
	}
}

// The books balance: every transfer's entries sum to zero, and so does the
// sum over all accounts.
func TestBooksBalance(t *testing.T) {
	w := open(t)
	w.pays(w.initiate("sandbank", order{}), w.persona("sandbank", "anna"), psu.Wish{})
	w.customer("sandbank", psu.NewCustomers{Count: 1, BalanceMinor: 777})
	var sum, opening int64
	for _, p := range w.bank.Personas("sandbank") {
		for _, a := range p.Accounts {
			sum += w.balance(a.IBAN)
			opening += a.BalanceMinor
		}
	}
	if sum != opening-2500 || w.balance(payeeIBAN) != 2500 {
		t.Errorf("customers hold %d of %d, the payee %d", sum, opening, w.balance(payeeIBAN))
	}
	var capital psd2.IBAN // account number 0
	for check := 2; check < 99 && capital == ""; check++ {
		capital, _ = psd2.ParseIBAN(fmt.Sprintf("DE%02d900100000000000000", check))
	}
	if got := w.balance(string(capital)); got != -(opening + 777) {
		t.Errorf("capital %d, want %d", got, -(opening + 777))
	}
}

func body(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// post sends a form and drops the body.
func post(t *testing.T, c *http.Client, url, form string) *http.Response {
	t.Helper()
	res, err := c.Post(url, "application/x-www-form-urlencoded", strings.NewReader(form))
	if err != nil {
		t.Error(err)
		return &http.Response{}
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res
}
