package app_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
	"github.com/rialto-hub/rialto/sca"
)

// TestNothingSecretOfFactorsIsLogged: A16. A person enrols an app and recovery
// codes on the pages, uses them rightly and wrongly, and the log at its loudest
// holds neither address, key, code nor token.
func TestNothingSecretOfFactorsIsLogged(t *testing.T) {
	w := newWorld(t, false)
	c := w.client()
	link := w.enrolLink()
	secrets := map[string]string{"enrolment token": link[strings.LastIndex(link, "/")+1:]}
	if status, _, _ := w.post(c, strings.TrimPrefix(link, w.origin), nil); status != http.StatusSeeOther {
		t.Fatalf("the link: %d", status)
	}
	status, body, _ := w.post(c, "/sca/totp", url.Values{})
	key := regexp.MustCompile(`data-test="key">([A-Z2-7]{32,})<`).FindStringSubmatch(body)
	factor := regexp.MustCompile(`name="factor" value="([^"]+)"`).FindStringSubmatch(body)
	if status != http.StatusOK || key == nil || factor == nil {
		t.Fatalf("an app: %d %s", status, body)
	}
	secrets["key"] = key[1]
	secrets["address"] = "otpauth"
	for _, code := range []string{"000000", w.code(key[1])} {
		secrets["code "+code] = code
		w.post(c, "/sca/totp/confirm", url.Values{"factor": {factor[1]}, "name": {"App"}, "code": {code}})
	}
	if status, body, _ = w.post(c, "/sca/recovery", url.Values{}); status != http.StatusOK {
		t.Fatalf("recovery codes: %d %s", status, body)
	}
	recovery := regexp.MustCompile(`<li>([^<]+)</li>`).FindAllStringSubmatch(body[strings.Index(body, `data-test="codes"`):], -1)
	if len(recovery) != 10 {
		t.Fatalf("%d recovery codes in %s", len(recovery), body)
	}
	for _, one := range recovery {
		secrets["recovery code "+one[1]] = one[1]
	}
	w.clock.Add(31 * time.Second)
	w.post(c, "/sca/verify", url.Values{"method": {"recovery"}, "code": {recovery[0][1]}})
	w.post(c, "/sca/verify", url.Values{"method": {"recovery"}, "code": {recovery[0][1]}})
	ch := w.begin(sca.Any, "en")
	secrets["payment's code"] = w.code(key[1])
	if status, _, _ := w.post(w.bound(), payPath(ch)+"/code", url.Values{"code": {secrets["payment's code"]}}); status != http.StatusSeeOther || w.state(ch.ID) != sca.Approved {
		t.Fatalf("the payment: %d %s", status, w.state(ch.ID))
	}
	// Times and traces are long numbers, in which there is any code.
	log := strings.ToLower(regexp.MustCompile(`"(time|trace_id)":"[^"]*"`).ReplaceAllString(w.log.String(), ""))
	if n := strings.Count(log, `"msg":"request"`); n < 7 {
		t.Fatalf("the log has only %d requests: it is not what was searched\n%s", n, log)
	}
	for what, secret := range secrets {
		for _, shape := range []string{secret, strings.ReplaceAll(secret, "-", ""), url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), base64.RawStdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(log, strings.ToLower(shape)) {
				t.Errorf("the log holds the %s", what)
			}
		}
	}
}

// TestNoScriptIsNoWayAroundThePasskey: A33. Who keeps the page from offering the
// passkey is offered nothing weaker, and a code is refused.
func TestNoScriptIsNoWayAroundThePasskey(t *testing.T) {
	w := newWorld(t, false)
	key := w.withTOTP()
	w.withMorePasskeys()
	ch := w.begin(sca.WithPasskey, "en")
	c := chromium.Open(t, chromium.Options{Name: "no-script", NoScript: true})
	c.Go(w.payURL(ch), chromium.Named("cancel"))
	if n := chromium.Value(c, chromedp.Evaluate[int](`document.querySelectorAll("#code, [data-test=pay-code], [data-test=pay-push]").length`)); n != 0 {
		t.Error("the page offers something weaker than the policy asks for")
	}
	status, _, _ := w.post(w.bound(), payPath(ch)+"/code", url.Values{"code": {w.code(key)}})
	if s := w.state(ch.ID); s != sca.Open || status != http.StatusUnauthorized {
		t.Errorf("a code past the page: %d, the challenge is %s", status, s)
	}
}

// TestPagesCannotAskForAPaymentAssertion: A29, A30. Secure Payment Confirmation
// is not offered, and what runs in a page of ours cannot begin it.
func TestPagesCannotAskForAPaymentAssertion(t *testing.T) {
	w := newWorld(t, false)
	w.withTOTP()
	c := chromium.Open(t, chromium.Options{Name: "spc"})
	ask := `try {
		new PaymentRequest([{ supportedMethods: "secure-payment-confirmation", data: {} }], { total: { label: "x", amount: { currency: "EUR", value: "25.00" } } });
		"asked";
	} catch (e) { e.name }`
	for _, address := range []string{w.payURL(w.begin(sca.Any, "en")), w.enrolLink(), w.origin + "/sca/device"} {
		c.Go(address, "h1")
		if got := chromium.Value(c, chromedp.Evaluate[string](ask)); got != "SecurityError" {
			t.Errorf("%s: %s", address, got)
		}
	}
}

// TestPasskeyAnswersNoOtherHost: A34. A page elsewhere that relays the hub's
// challenge gets no assertion from the browser that has the passkey.
func TestPasskeyAnswersNoOtherHost(t *testing.T) {
	w := newWorld(t, false)
	c := chromium.Open(t, chromium.Options{Name: "relay"})
	c.Authenticator(true)
	openFactors(c, w.enrolLink())
	c.Press(chromium.Named("add-passkey"), chromium.Named("factors"))
	evil := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = rw.Write([]byte("<!doctype html><link rel=icon href=data:,><title>Pay</title><h1 id=pay>Pay</h1>"))
	}))
	t.Cleanup(evil.Close)
	_, port, err := net.SplitHostPort(evil.Listener.Addr().String())
	must(t, err)
	ask := func(rp string) string {
		return chromium.Value(c, chromedp.Evaluate[string](fmt.Sprintf(
			`navigator.credentials.get({publicKey: {challenge: new Uint8Array(32), rpId: %q, userVerification: "required", timeout: 5000}}).then(() => "asserted", (e) => e.name)`, rp), chromedp.EvalAwaitPromise))
	}
	if got := ask("pay.localhost"); got != "asserted" {
		t.Fatalf("on its own host: %s: the test would prove nothing", got)
	}
	c.Go("http://pay-localhost.evil.localhost:"+port, "#pay")
	if got := ask("pay.localhost"); got != "SecurityError" {
		t.Errorf("for the hub's name: %s", got)
	}
	if got := ask("pay-localhost.evil.localhost"); got == "asserted" {
		t.Error("for its own name it got an assertion")
	}
}
