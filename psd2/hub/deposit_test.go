package hub_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
)

const whole = "created attempt_started authorized executed settled payer_checked creditable"

func TestDepositIsToldStepByStepAndPaidOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.start()
		w.wantState(p, psd2.StateAuthorizationRequired, "")
		link := w.toBank(p, plain)
		p = w.wantState(p, psd2.StateAuthorizing, "")
		if a := p.Last(); a.AtRiskAt == nil || a.Approach != "redirect" || a.EndToEndID != psd2.NewEndToEndID(a.ID) {
			t.Fatalf("attempt %+v", a)
		}
		w.clock.Add(30 * time.Second)
		if at := w.pays(link); at != "https://pay.example/return/"+p.Last().ID {
			t.Fatalf("the bank sends the payer to %s", at)
		}
		w.clock.Add(time.Second)
		w.returned(p)
		p = w.wantState(p, psd2.StateSettled, "")
		w.wantEvents(p, whole)
		w.wantTransfers(p, 1)
		if p.PayerCheck != psd2.PayerMatched || p.CreditableAt == nil || !p.CreditableAt.Equal(w.clock.Now()) {
			t.Errorf("payer %s, creditable %v", p.PayerCheck, p.CreditableAt)
		}
		if n := w.tap.count("initiate"); n != 1 {
			t.Errorf("%d orders", n)
		}
		asked := w.tap.count("status")
		w.run(48 * hour)
		if n := w.tap.count("status"); n != asked {
			t.Errorf("a settled payment was asked about %d more times", n-asked)
		}
		w.wantEvents(p, whole)
	})
}

func TestMerchantSeesTheSourceMasked(t *testing.T) {
	w := one(t)
	p, link := w.atBank(plain)
	c := w.customer(plain)
	w.walk(link, c, psu.Wish{})
	view, err := json.Marshal(w.returned(p).View())
	if err != nil {
		t.Fatal(err)
	}
	if s := string(view); strings.Contains(s, c.Accounts[0].IBAN) || !strings.Contains(s, `"iban_masked":"DE`) || !strings.Contains(s, "BEISPIEL, ANNA") {
		t.Errorf("view %s", s)
	}
}

func TestTheSameAccountIsTheSameSourceForOneMerchantOnly(t *testing.T) {
	w := one(t)
	c := w.customer(plain)
	source := func() string {
		t.Helper()
		w.clock.Add(time.Minute) // the bank takes each code of his phone once
		p, link := w.atBank(plain)
		w.walk(link, c, psu.Wish{})
		p = w.returned(p)
		if !psd2.IsID(psd2.PrefixSource, p.SourceID) {
			t.Fatalf("source %q", p.SourceID)
		}
		return p.SourceID
	}
	first, second := source(), source()
	other := *w.merchant
	other.ID = "mer_00000000000000000000000002"
	w.merchant = &other
	if third := source(); first != second || third == first {
		t.Errorf("sources %s %s, of another merchant %s", first, second, third)
	}
}

func TestOtherHoldersDepositSettlesButIsNeverCreditable(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, policy := range []psd2.Policy{psd2.PayerRequired, psd2.PayerOptional} {
			w.merchant.PayerPolicy = policy
			p, link := w.atBank(plain)
			w.pays(link, func(n *psu.NewCustomers) { n.Holder = "Erika Fremd" })
			w.returned(p)
			w.run(48 * hour)
			p = w.wantState(p, psd2.StateSettled, "")
			if p.PayerCheck != psd2.PayerMismatched || p.CreditableAt != nil {
				t.Errorf("%s: payer %s, creditable %v", policy, p.PayerCheck, p.CreditableAt)
			}
			w.wantEvents(p, "created attempt_started authorized executed settled payer_mismatched")
		}
	})
}

func TestUnnamedHolderFollowsTheMerchantsPolicy(t *testing.T) {
	w := one(t)
	for _, bank := range []string{slip, discreet} {
		for _, c := range []struct {
			policy     psd2.Policy
			check      psd2.PayerCheck
			creditable bool
		}{
			{"", psd2.PayerUnknown, false},
			{psd2.PayerRequired, psd2.PayerUnknown, false},
			{psd2.PayerOptional, psd2.PayerUnknown, true},
			{psd2.PayerOff, psd2.PayerWaived, true},
		} {
			w.merchant.PayerPolicy = c.policy
			p, link := w.atBank(bank)
			w.pays(link)
			w.returned(p)
			w.run(48 * hour)
			p = w.wantState(p, psd2.StateSettled, "")
			if p.PayerCheck != c.check || (p.CreditableAt != nil) != c.creditable {
				t.Errorf("%s, policy %q: payer %s, creditable %v", bank, c.policy, p.PayerCheck, p.CreditableAt)
			}
		}
	}
}

func TestExecutedIsCreditableAndWatchedForADay(t *testing.T) {
	w := one(t)
	p, link := w.atBank(acsc)
	w.pays(link)
	w.returned(p)
	w.wantState(p, psd2.StateExecuted, "")
	const executed = "created attempt_started authorized executed payer_checked creditable"
	w.wantEvents(p, executed)
	w.run(23 * hour)
	asked := w.tap.count("status")
	w.tap.say("ACSC", "ACCC") // the payee's bank confirms at last
	w.run(hour)
	w.wantState(p, psd2.StateSettled, "")
	w.wantEvents(p, executed+" settled")
	if n := w.tap.count("status"); asked > 60 || n == asked {
		t.Errorf("asked %d times in a day", n)
	}

	p, link = w.atBank(acsc)
	w.tap.say("", "")
	w.pays(link)
	w.returned(p)
	w.run(48 * hour)
	w.wantState(p, psd2.StateExecuted, "")
	if ids, next, err := w.db.Due(ctx, w.clock.Now(), 1); err != nil || len(ids) > 0 || !next.IsZero() {
		t.Errorf("still due after two days: %v %s %v", ids, next, err)
	}
}

func TestRefusalIsToldWithItsReasonAndThePayerMayTryAgain(t *testing.T) {
	poor := func(n *psu.NewCustomers) { n.BalanceMinor = 2499 }
	behaves := func(b sandbox.Behaviour) func(*psu.NewCustomers) {
		return func(n *psu.NewCustomers) { n.Behaviour = string(b) }
	}
	both(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name string
			who  func(*psu.NewCustomers)
			wish psu.Wish
			why  psd2.FailureReason
			code string
		}{
			{"insufficient funds", poor, psu.Wish{}, psd2.ReasonInsufficientFunds, "AM04"},
			{"account blocked", behaves(sandbox.Blocked), psu.Wish{}, psd2.ReasonAccountBlocked, "AC06"},
			{"confirmation taken for a refusal", behaves(sandbox.Declines), psu.Wish{}, psd2.ReasonPayerRejected, "CUST"},
			{"payer presses cancel", func(*psu.NewCustomers) {}, psu.Wish{Decline: true}, psd2.ReasonPayerRejected, "CUST"},
		} {
			p, link := w.atBank(plain)
			if at := w.walk(link, w.customer(plain, c.who), c.wish); at != "https://pay.example/return/"+p.Last().ID+"/failed" {
				t.Errorf("%s: the bank sends the payer to %s", c.name, at)
			}
			w.returned(p)
			p = w.wantState(p, psd2.StateAuthorizationRequired, "")
			w.wantAttempt(p, 0, psd2.AttemptRefused, c.why)
			if a := p.Last(); a.BankReason != c.code {
				t.Errorf("%s: code %q", c.name, a.BankReason)
			}
			w.wantTransfers(p, 0)
			w.pays(w.toBank(p, lapsing))
			w.returned(p)
			w.wantState(p, psd2.StateSettled, "")
			w.wantEvents(p, "created attempt_started attempt_failed attempt_started authorized executed settled payer_checked creditable")
			w.wantTransfers(p, 1)
		}
	})
}

// Trying his own account first must not lend a payer's name to the account he
// pays from in the end.
func TestPayerCheckIsOfTheAccountThatPaid(t *testing.T) {
	w := one(t)
	for bank, check := range map[string]psd2.PayerCheck{plain: psd2.PayerMismatched, discreet: psd2.PayerUnknown} {
		p, link := w.atBank(plain)
		w.pays(link, func(n *psu.NewCustomers) { n.BalanceMinor = 1 })
		if p = w.returned(p); p.SourceID != "" || p.Personal.Source.Name != "" {
			t.Errorf("source of a refused attempt: %q", p.SourceID)
		}
		w.pays(w.toBank(p, bank), func(n *psu.NewCustomers) { n.Holder = "Erika Fremd" })
		w.returned(p)
		p = w.wantState(p, psd2.StateSettled, "")
		if p.PayerCheck != check || p.CreditableAt != nil {
			t.Errorf("%s: payer %s, creditable %v", bank, p.PayerCheck, p.CreditableAt)
		}
	}
}

func TestPayerCheckOfAnAcceptedOrderEndsWithIt(t *testing.T) {
	w := one(t)
	p, link := w.atBank("late-never")
	w.pays(link, late)
	if p = w.returned(p); p.PayerCheck != psd2.PayerMatched {
		t.Fatalf("payer %s", p.PayerCheck)
	}
	w.tap.say("ACSP", "RJCT")
	w.run(5 * time.Second)
	p = w.wantState(p, psd2.StateAuthorizationRequired, "")
	if p.PayerCheck != psd2.PayerUnknown || p.SourceID != "" {
		t.Errorf("payer %s of a refused order", p.PayerCheck)
	}
	w.pays(w.toBank(p, discreet), func(n *psu.NewCustomers) { n.Holder = "Erika Fremd" })
	w.returned(p)
	if p = w.wantState(p, psd2.StateSettled, ""); p.CreditableAt != nil {
		t.Error("credited on the strength of an account that did not pay")
	}
}

func TestWrongCodesAtTheBankAreAnAuthenticationFailure(t *testing.T) {
	w := one(t)
	p, link := w.atBank(plain)
	c := w.customer(plain)
	c.Password = "wrong"
	for range 5 { // the walk stops at each complaint
		_, _ = psu.Walk(ctx, psuBrowser(w), link, c, psu.Wish{}, w.clock.Now)
	}
	w.returned(p)
	p = w.wantState(p, psd2.StateAuthorizationRequired, "")
	w.wantAttempt(p, 0, psd2.AttemptRefused, psd2.ReasonAuthenticationFailed)
}

func TestBankThatIsDownLeavesThePaymentOpenForAnother(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.switches(slip, map[string]any{"down": true})
		p := w.start()
		got, link, err := w.hub.Authorise(ctx, p.ID, slip, rand.Text(), browser, hub.Browser{})
		if err != nil || link != "" || got.State != psd2.StateAuthorizationRequired {
			t.Fatalf("%v %q %v", got, link, err)
		}
		w.wantAttempt(p, 0, psd2.AttemptRefused, psd2.ReasonBankUnavailable)
		_, _, err = w.hub.Authorise(ctx, p.ID, slip, rand.Text(), browser, hub.Browser{})
		wantReason(t, err, "bank_unavailable") // it asked us to come back later
		if n := w.tap.count("initiate"); n != 1 {
			t.Errorf("a bank that said 503 was sent %d orders", n)
		}
		w.pays(w.toBank(p, plain))
		w.returned(p)
		w.wantState(p, psd2.StateSettled, "")
		w.wantTransfers(p, 1)

		w.switches(slip, map[string]any{"down": false})
		w.clock.Add(time.Minute)
		p = w.start()
		w.pays(w.toBank(p, slip))
		w.returned(p)
		w.wantState(p, psd2.StateSettled, "")
	})
}

func TestUnknownBankAndUnknownPaymentChangeNothing(t *testing.T) {
	w := one(t)
	p := w.start()
	_, _, err := w.hub.Authorise(ctx, p.ID, "no-such-bank", rand.Text(), browser, hub.Browser{})
	wantReason(t, err, "bank_unknown")
	_, _, err = w.hub.Authorise(ctx, "pay_00000000000000000000000000", plain, rand.Text(), browser, hub.Browser{})
	wantReason(t, err, "payment_not_found")
	w.wantEvents(p, "created")
	if n := w.tap.count("initiate"); n != 0 {
		t.Errorf("%d orders", n)
	}
}

func TestLinkOpensOnlyItsPaymentAndOnlyOneBrowserMayAct(t *testing.T) {
	w := one(t)
	p := w.start(func(r *hub.StartRequest) { r.State = "cart 7" })
	for _, token := range []string{"", p.ID, p.LinkHash, strings.Repeat("A", 43), strings.Repeat("A", 42) + "/"} {
		if _, err := w.hub.ByLink(ctx, token); reasonOf(err) != "payment_not_found" {
			t.Errorf("%q: %v", token, err)
		}
	}
	bound, err := w.hub.Bind(ctx, p.ID, "browser one")
	if err != nil || !w.hub.IsBoundTo(bound, "browser one") || w.hub.IsBoundTo(bound, "browser two") || w.hub.IsBoundTo(bound, "") {
		t.Fatalf("bind: %v", err)
	}
	_, err = w.hub.Bind(ctx, p.ID, "browser two")
	wantReason(t, err, "other_browser") // B02
	if _, err := w.hub.Bind(ctx, p.ID, "browser one"); err != nil {
		t.Error(err)
	}
}

// A bank that exempts an order from SCA may have executed it by the time it
// answers; the holder is known only from its status.
func TestExemptedOrderIsAskedAboutAtOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, code := range []string{"ACTC", "ACSC", "ACCC"} {
			exempts(w, code)
			p := w.start()
			_, link, err := w.hub.Authorise(ctx, p.ID, risky, rand.Text(), browser, hub.Browser{})
			if err != nil || link != "" {
				t.Fatalf("%s: %q %v", code, link, err)
			}
			want := map[string]psd2.State{"ACTC": psd2.StateAuthorized, "ACSC": psd2.StateExecuted, "ACCC": psd2.StateSettled}[code]
			p = w.wantState(p, want, "")
			if p.PayerCheck != psd2.PayerMatched || (p.CreditableAt != nil) != (code != "ACTC") {
				t.Errorf("%s: payer %s, creditable %v", code, p.PayerCheck, p.CreditableAt)
			}
		}
	})
}

// exempts has all banks answer as one that wants no SCA for this order.
func exempts(w *world, code string) {
	w.tap.onAsk(func(kind string, rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Content-Type", "application/json")
		switch kind {
		case "initiate":
			rw.WriteHeader(http.StatusCreated)
			return answer(rw, `{"transactionStatus":"`+code+`","paymentId":"p1","scaStatus":"exempted"}`)
		case "status":
			return answer(rw, `{"transactionStatus":"`+code+`","ownerNames":[{"name":"Anna Beispiel"}]}`)
		}
		return answer(rw, `{"debtorAccount":{"iban":"DE02120300000000202051"}}`)
	})
}
