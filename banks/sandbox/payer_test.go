package sandbox_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
)

func asRefused(err error, to **psu.Refused) bool { return errors.As(err, to) }

func wantRefused(t *testing.T, err error, problem string) {
	t.Helper()
	var r *psu.Refused
	if !errors.As(err, &r) || r.Problem != problem {
		t.Errorf("got %v, want refusal %s", err, problem)
	}
}

func TestPayerDeclines(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{endToEnd: "NO"})
	out := w.pays(p, w.persona("sandbank", "anna"), psu.Wish{Decline: true})
	if out.Location != nokURI {
		t.Errorf("sent to %q", out.Location)
	}
	w.wantStatus(p, "RJCT", "failed", "CUST")
	if len(w.transfers("NO")) != 0 {
		t.Error("money moved")
	}
}

func TestPayerWithoutNokURIGoesBackToTheOnlyOne(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{mutate: func(h http.Header, _ map[string]any) { h.Del("TPP-Nok-Redirect-URI") }})
	if out := w.pays(p, w.persona("sandbank", "anna"), psu.Wish{Decline: true}); out.Location != okURI {
		t.Errorf("sent to %q", out.Location)
	}
}

func TestFiveWrongPasswordsEndTheOrder(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{})
	bad := w.persona("sandbank", "anna")
	bad.Password = "wrong"
	for range 4 {
		_, err := w.walk(p, bad, psu.Wish{})
		wantRefused(t, err, "wrong_login")
	}
	w.wantStatus(p, "RCVD", "received", "")
	if out := w.pays(p, bad, psu.Wish{}); out.Location != nokURI {
		t.Errorf("sent to %q", out.Location)
	}
	w.wantStatus(p, "RJCT", "failed", "PSU_CREDENTIALS_INVALID")
}

func TestWrongCodeMovesNothing(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{endToEnd: "CODE"})
	bad := w.persona("sandbank", "anna")
	bad.TOTPSecret = w.persona("sandbank", "bert").TOTPSecret
	_, err := w.walk(p, bad, psu.Wish{})
	wantRefused(t, err, "wrong_code")
	w.wantStatus(p, "RCVD", "psuAuthenticated", "")
	if len(w.transfers("CODE")) != 0 {
		t.Error("money moved")
	}
}

// A code works once, also for another order and in another browser.
func TestCodeWorksOnce(t *testing.T) {
	w := open(t)
	anna := w.persona("sandbank", "anna")
	code, err := psu.TOTP(anna.TOTPSecret, w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{http.StatusSeeOther, http.StatusUnprocessableEntity} {
		p := w.initiate("sandbank", order{})
		browser := w.payer()
		browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		post(t, browser, p.SCARedirect+"/login", "user=anna&password=sandbox")
		if res := post(t, browser, p.SCARedirect+"/confirm", "action=pay&code="+code); res.StatusCode != want {
			t.Errorf("use %d of the code: %d, want %d", i+1, res.StatusCode, want)
		}
	}
	if n := len(w.transfers("")); n != 1 {
		t.Errorf("%d transfers, want 1", n)
	}
	if page := body(t, w.srv.Client(), w.srv.URL+"/sandbank/phone/anna"); !strings.Contains(page, code) || !strings.Contains(page, "has been used") {
		t.Error("the phone does not say that its code has been used")
	}
}

func TestPayerChoosesHisAccount(t *testing.T) {
	w := open(t)
	bert := w.persona("sandbank", "bert")
	for i, iban := range []string{bert.Accounts[1].IBAN, bert.Accounts[0].IBAN} {
		w.clock.Add(30 * second)
		p := w.initiate("sandbank", order{})
		w.pays(p, bert, psu.Wish{Account: iban})
		if got := w.get(payments("sandbank")+"/"+p.PaymentID, 200).text("debtorAccount", "iban"); got != iban {
			t.Errorf("payment %d came from %s, want %s", i, got, iban)
		}
	}
}

// Neither a foreign account in the form nor one the TPP names can be debited.
func TestForeignAccountCannotPay(t *testing.T) {
	w := open(t)
	anna, bert := w.persona("sandbank", "anna"), w.persona("sandbank", "bert")
	p := w.initiate("sandbank", order{endToEnd: "STEAL", debtor: anna.Accounts[0].IBAN})
	_, err := w.walk(p, bert, psu.Wish{})
	wantRefused(t, err, "no_account")

	q := w.initiate("sandbank", order{endToEnd: "STEAL"})
	code, err := psu.TOTP(bert.TOTPSecret, w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	for page, iban := range map[string]string{q.SCARedirect: anna.Accounts[0].IBAN, p.SCARedirect: bert.Accounts[0].IBAN} {
		browser := w.payer()
		post(t, browser, page+"/login", "user=bert&password=sandbox")
		if res := post(t, browser, page+"/confirm", "action=pay&account="+iban+"&code="+code); res.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("another account than the order's: %d", res.StatusCode)
		}
	}
	if len(w.transfers("STEAL")) != 0 {
		t.Error("money moved")
	}
	w.pays(p, anna, psu.Wish{}) // its owner may
}

// Who has the link but not the login pays nothing.
func TestLinkAloneCannotPay(t *testing.T) {
	w := open(t)
	anna := w.persona("sandbank", "anna")
	p := w.initiate("sandbank", order{endToEnd: "LINK"})
	post(t, w.payer(), p.SCARedirect+"/login", "user=anna&password=sandbox")
	code, err := psu.TOTP(anna.TOTPSecret, w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if res := post(t, w.payer(), p.SCARedirect+"/confirm", "action=pay&code="+code); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("another browser: %d", res.StatusCode)
	}
	if len(w.transfers("LINK")) != 0 {
		t.Error("money moved")
	}
}

func TestFormOfAnotherSiteIsRefused(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{})
	for _, path := range []string{p.SCARedirect + "/confirm", w.srv.URL + "/sandbox/sandbank/switches"} {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, path, strings.NewReader("action=decline"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		res, err := w.srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	w.wantStatus(p, "RCVD", "received", "")
}

func TestPagesAreStrictAndSpeakBothLanguages(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{})
	urls := []string{p.SCARedirect, w.srv.URL + "/", w.srv.URL + "/sandbank/phone/anna", w.srv.URL + "/sandbox/sandbank/switches",
		w.srv.URL + "/sandbank/pay/absent", w.srv.URL + "/ebbebank/pay/absent"}
	for _, u := range urls {
		bodies := map[string]string{}
		for _, lang := range []string{"de-AT,de;q=0.9", "en-GB", "fr"} {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, u, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Language", lang)
			req.Header.Set("Accept", "text/html")
			res, err := w.srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			bodies[lang] = readAll(t, res)
			csp := res.Header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("%s: policy %q", u, csp)
			}
			if u == p.SCARedirect && !strings.HasSuffix(csp, "form-action 'self' https://tpp.example") {
				t.Errorf("the form may not lead back to the TPP: %q", csp)
			}
		}
		if !strings.Contains(bodies["de-AT,de;q=0.9"], `<html lang="de">`) || !strings.Contains(bodies["en-GB"], `<html lang="en">`) || bodies["fr"] != bodies["en-GB"] {
			t.Errorf("%s: languages", u)
		}
		if strings.Contains(bodies["fr"], "<script") || strings.Contains(bodies["fr"], " style=") {
			t.Errorf("%s: script or inline style", u)
		}
	}
}

// What a TPP writes into an order is text on the payer's page, not markup.
func TestOrderTextCannotInjectMarkup(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{mutate: func(_ http.Header, b map[string]any) {
		b["creditorName"], b["remittanceInformationUnstructured"] = `<img src=x onerror=alert(1)>`, `"><form action=//evil>`
	}})
	browser := w.payer()
	post(t, browser, p.SCARedirect+"/login", "user=anna&password=sandbox")
	page := body(t, browser, p.SCARedirect)
	if !strings.Contains(page, "&lt;img") || strings.Contains(page, "<img") || strings.Count(page, "<form") != 1 {
		t.Error("markup of the order reached the page")
	}
}
