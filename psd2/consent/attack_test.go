package consent_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/consent"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
)

func TestForeignFormsAreRefused(t *testing.T) { // B01
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	action, fields := b.toConfirm(path).form("pay")
	for name, header := range map[string][]string{
		"cross-site":        {"Sec-Fetch-Site", "cross-site"},
		"sibling subdomain": {"Sec-Fetch-Site", "same-site"},
		"old browser":       {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
		"sandboxed frame":   {"Sec-Fetch-Site", "", "Origin", "null"},
	} {
		if a := b.do(http.MethodPost, action, fields, header...); a.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d", name, a.StatusCode)
		}
	}
	// A client that says nothing of where it comes from has the cookie at best.
	silent := []string{"Sec-Fetch-Site", "", "Origin", ""}
	b.do(http.MethodPost, action, url.Values{"bank": {"sandbank"}}, silent...).want(http.StatusForbidden)
	forged := url.Values{"bank": {"sandbank"}, "consent": {strings.Repeat("A", 64)}}
	b.do(http.MethodPost, action, forged, silent...).want(http.StatusConflict)
	b.do(http.MethodPost, "/pay/"+id+"/cancel", url.Values{"token": {"x"}}, silent...).want(http.StatusForbidden)
	b.do(http.MethodPost, path, url.Values{"bank": {"sandbank"}, "start": {"x"}}, silent...).want(http.StatusForbidden)
	if n := len(w.sandbank.placed()); n != 0 || w.payment(id).State != psd2.StateAuthorizationRequired {
		t.Fatalf("%d orders, payment %s", n, w.payment(id).State)
	}
	b.do(http.MethodPost, action, fields, silent...).want(http.StatusSeeOther) // the real form still works
}

func TestVictimCannotBeMadeToOpenAnotherPersonsPayment(t *testing.T) { // B02
	w := newWorld(t)
	id, path := w.start()
	attacker, victim := w.browser(), w.browser()
	action, fields := attacker.get(path).form("bank-sandbank")
	victim.get(path) // has a visit cookie of its own
	victim.do(http.MethodPost, action, fields).want(http.StatusForbidden)
	if w.payment(id).BrowserHash != "" {
		t.Error("the victim's browser was bound by a form it was not shown")
	}
}

func TestReturnInAnotherBrowserExecutesNothing(t *testing.T) { // B02
	w := newWorld(t)
	id, path := w.start()
	w.browser().toBank(path)
	w.sandbank.decide(banks.Status{Transaction: "ACSC"})
	stranger := w.browser()
	a := stranger.get(w.returnPath()).want(http.StatusForbidden)
	if !strings.Contains(a.main(), "continue in the browser where you started") {
		t.Errorf("%s", a.main())
	}
	forged := []string{"Cookie", cookieOf(id) + "=" + strings.Repeat("A", 43)}
	stranger.do(http.MethodGet, w.returnPath(), nil, forged...).want(http.StatusForbidden)
	for _, sub := range []string{"", "/banks", "/confirm?bank=sandbank", "/live", "/about"} {
		stranger.do(http.MethodGet, "/pay/"+id+sub, nil, forged...).want(http.StatusForbidden)
	}
	if n := w.sandbank.calls(); n != 0 || w.payment(id).Open().ReturnedAt != nil {
		t.Errorf("the callback had an effect: %d calls to the bank", n)
	}
	if a := stranger.get("/pay/" + id).want(http.StatusForbidden); strings.Contains(a.body, "DEPOSIT 4711") {
		t.Error("a stranger reads the payment")
	}
}

func TestSecondBrowserCannotTakeOver(t *testing.T) { // B02, B11
	w := newWorld(t)
	_, path := w.start()
	second := w.browser()
	choose := second.get(path).want(http.StatusOK)
	w.browser().toConfirm(path)
	second.submit(choose, "bank-sandbank").want(http.StatusForbidden)
	second.get(path).want(http.StatusForbidden)
}

func TestEveryAnswerCarriesTheHeaders(t *testing.T) { // B03, B13, B20
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	confirm := b.toConfirm(path)
	for _, a := range []*answer{
		b.get(path), confirm, b.get("/nothing"), b.get("/pay/" + id), w.browser().get("/pay/" + id), b.get("/p/unknown"),
		b.do(http.MethodPut, path, nil), b.do(http.MethodPost, "/pay/"+id+"/confirm", url.Values{}), b.get("/pay/" + id + "/about"),
		b.get("/static/nothing.css"),
	} {
		h := a.Header
		name := a.Request.Method + " " + a.Request.URL.Path
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") ||
			strings.Contains(csp, "unsafe") {
			t.Errorf("%s: CSP %q", name, csp)
		}
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Referrer-Policy") != "same-origin" && !strings.HasPrefix(a.Request.URL.Path, "/static/") {
			t.Errorf("%s: headers %v", name, h)
		}
		if !strings.HasPrefix(a.Request.URL.Path, "/static/") && h.Get("Cross-Origin-Opener-Policy") != "same-origin" { // B30
			t.Errorf("%s: whoever opened it keeps a hold of it: %v", name, h)
		}
	}
	if csp := confirm.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' "+w.sandbank.site.URL) { // B18
		t.Errorf("B18: %q does not let the form lead to the bank", csp)
	}
	if csp := b.get("/pay/" + id + "/banks").Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "form-action 'self'") {
		t.Errorf("%q lets a form lead away for no reason", csp)
	}
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|<script(?:\s[^>]*)?>[^<]|\son[a-z]+=`)
	if bad := inline.FindString(strings.ReplaceAll(confirm.body, "<svg", "")); bad != "" {
		t.Errorf("inline code or style: %q", bad)
	}
}

func TestDoubleClickPlacesOneOrder(t *testing.T) { // B04
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	choose := b.get(path)
	first, second := b.submit(choose, "bank-sandbank"), b.submit(choose, "bank-sandbank")
	if first.location() != second.location() {
		t.Errorf("the two clicks on the bank led to %s and %s", first.location(), second.location())
	}
	confirm := b.get(first.location()).want(http.StatusOK)
	w.sandbank.hold, w.sandbank.entered = make(chan struct{}), make(chan struct{}, 2)
	answers := make(chan *answer, 1)
	go func() { answers <- b.submit(confirm, "pay") }()
	<-w.sandbank.entered
	late := b.submit(confirm, "pay").want(http.StatusConflict)
	if late.situation() != "asking" || !strings.HasPrefix(late.text("lead"), "Nothing has been paid yet.") {
		t.Errorf("the second click shows %s", late.main())
	}
	close(w.sandbank.hold)
	if to := (<-answers).location(); !strings.HasPrefix(to, w.sandbank.site.URL) {
		t.Errorf("the first click led to %s", to)
	}
	if n := len(w.sandbank.placed()); n != 1 {
		t.Errorf("%d orders", n)
	}
	// The stale tab finds the way back to the bank on the status page.
	if a := b.get("/pay/" + id).want(http.StatusOK); !strings.HasPrefix(attr(a.find("to-bank"), "href"), w.sandbank.site.URL) {
		t.Errorf("%s", a.main())
	}
}

func TestDoubleClickBeforeTheCookieArrivesBindsOneBrowser(t *testing.T) { // B04
	w := newWorld(t)
	_, path := w.start()
	b := w.browser()
	action, fields := b.get(path).form("bank-sandbank")
	bare := *b // the browser drops the first answer: only the visit's cookie is there
	jar := b.client.Jar
	u, _ := url.Parse(w.server.URL)
	visit := jar.Cookies(u)
	b.do(http.MethodPost, action, fields).want(http.StatusSeeOther)
	bare = *w.browser()
	bare.client.Jar.SetCookies(u, secure(visit))
	to := bare.do(http.MethodPost, action, fields).location()
	bare.get(to).want(http.StatusOK)
}

func secure(cookies []*http.Cookie) []*http.Cookie {
	for _, c := range cookies {
		c.Secure, c.Path = true, "/"
	}
	return cookies
}

func TestTwoTabsPayOnce(t *testing.T) { // B04
	w := newWorld(t)
	_, path := w.start()
	b := w.browser()
	tab := b.toConfirm(path)
	other := b.get(tab.Request.URL.RequestURI()).want(http.StatusOK)
	var wg sync.WaitGroup
	statuses := make(chan int, 2)
	for _, page := range []*answer{tab, other} {
		wg.Go(func() { statuses <- b.submit(page, "pay").StatusCode })
	}
	wg.Wait()
	if sum := <-statuses + <-statuses; sum != http.StatusSeeOther+http.StatusConflict {
		t.Errorf("statuses sum to %d", sum)
	}
	if n := len(w.sandbank.placed()); n != 1 {
		t.Errorf("%d orders", n)
	}
}

func TestConsentIsGoodOnce(t *testing.T) { // B05
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	confirm := b.toConfirm(path)
	b.submit(confirm, "pay").want(http.StatusSeeOther)
	b.submit(confirm, "pay").want(http.StatusConflict)
	w.sandbank.decide(banks.Status{Transaction: "RJCT", Reason: "AM04"})
	b.get(w.returnPath())
	if a := b.submit(confirm, "pay").want(http.StatusConflict); !strings.Contains(a.main(), "Nothing has been sent.") {
		t.Errorf("an old consent after a failed attempt: %s", a.main())
	}
	fresh := b.get(confirm.Request.URL.RequestURI()).want(http.StatusOK)
	b.submit(b.get("/pay/"+id), "cancel").want(http.StatusSeeOther)
	if a := b.submit(fresh, "pay").want(http.StatusConflict); a.situation() != "canceled" {
		t.Errorf("after cancelling: %s", a.situation())
	}
	if n := len(w.sandbank.placed()); n != 1 {
		t.Errorf("%d orders", n)
	}

	_, path = w.start()
	confirm = b.toConfirm(path)
	w.clock.Add(16 * time.Minute)
	if a := b.submit(confirm, "pay").want(http.StatusConflict); a.situation() != "expired" {
		t.Errorf("after its time: %s", a.situation())
	}
}

func TestConsentIsForWhatWasShown(t *testing.T) { // B06
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	confirm := b.toConfirm(path)
	action, fields := confirm.form("pay")
	fields.Set("bank", "cafe")
	b.do(http.MethodPost, action, fields).want(http.StatusConflict)
	err := w.db.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.UpdatePayment(id, func(p *psd2.Payment) error { p.Amount = psd2.Euro(250000); return nil })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	again := b.submit(confirm, "pay").want(http.StatusConflict)
	if !strings.Contains(again.text("amount"), "€2,500.00") || !strings.Contains(again.main(), "please check the payment once more") {
		t.Errorf("%s", again.main())
	}
	if n := len(w.sandbank.placed()); n != 0 {
		t.Errorf("%d orders", n)
	}
	b.submit(again, "pay").want(http.StatusSeeOther)
}

func TestConsentOfAnotherPaymentIsVoid(t *testing.T) { // B05
	w := newWorld(t)
	b := w.browser()
	_, cheap := w.start(func(r *hub.StartRequest) { r.Amount = psd2.Euro(1) })
	_, fields := b.toConfirm(cheap).form("pay")
	_, dear := w.start()
	action, _ := b.toConfirm(dear).form("pay")
	b.do(http.MethodPost, action, fields).want(http.StatusConflict)
	if n := len(w.sandbank.placed()); n != 0 {
		t.Errorf("%d orders", n)
	}
}

// cookieOf is the name of the cookie that binds a browser to a payment.
func cookieOf(id string) string { return "__Host-rp_" + strings.TrimPrefix(id, "pay_") }

func TestCookieIsNewWhenBoundAndWellGuarded(t *testing.T) { // B09, B10
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	name := cookieOf(id)
	u, _ := url.Parse(w.server.URL)
	b.client.Jar.SetCookies(u, secure([]*http.Cookie{{Name: name, Value: "chosen-by-the-attacker"}}))
	bound := b.submit(b.get(path).want(http.StatusOK), "bank-sandbank")
	var got *http.Cookie
	for _, c := range bound.Cookies() {
		if c.Name == name {
			got = c
		}
	}
	if got == nil || got.Value == "chosen-by-the-attacker" || len(got.Value) != 43 ||
		!got.Secure || !got.HttpOnly || got.SameSite != http.SameSiteLaxMode || got.Path != "/" || got.Domain != "" {
		t.Fatalf("cookie %+v", got)
	}
	b.get("/pay/" + id + "/banks").want(http.StatusOK)
	// A cookie that is there twice was set by somebody else as well.
	b.client.Jar = nil
	for _, both := range []string{name + "=tossed; " + name + "=" + got.Value, name + "=" + got.Value + "; " + name + "=tossed"} {
		b.do(http.MethodGet, "/pay/"+id+"/banks", nil, "Cookie", both).want(http.StatusForbidden)
	}
	b.do(http.MethodGet, "/pay/"+id+"/banks", nil, "Cookie", name+"="+got.Value).want(http.StatusOK)
}

func TestGuessingTellsNothing(t *testing.T) { // B11
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	b.toConfirm(path)
	stranger := w.browser()
	unknown := stranger.get("/p/" + strings.Repeat("A", 43)).want(http.StatusNotFound)
	if other := stranger.get("/p/short").want(http.StatusNotFound); other.body != unknown.body {
		t.Error("two unknown links are answered differently")
	}
	real, invented := stranger.get("/pay/"+id), stranger.get("/pay/pay_01234567890123456789012345")
	if real.StatusCode != invented.StatusCode || real.body != invented.body {
		t.Error("the answer tells whether a payment exists")
	}
	// Neither does it for one who brings a cookie of the right name.
	made := func(id string) *answer {
		return stranger.do(http.MethodGet, "/pay/"+id, nil, "Cookie", cookieOf(id)+"="+strings.Repeat("A", 43)).want(http.StatusForbidden)
	}
	if made(id).body != made("pay_01234567890123456789012345").body {
		t.Error("the answer to a made-up cookie tells whether a payment exists")
	}
	if len(strings.TrimPrefix(path, "/p/")) != 43 {
		t.Errorf("the link's token has %d characters", len(path)-3)
	}
}

func TestPreviewsConsumeNothing(t *testing.T) { // B12
	w := newWorld(t)
	id, path := w.start()
	bot := w.browser()
	for range 3 {
		bot.do(http.MethodHead, path, nil, "User-Agent", "Slackbot-LinkExpanding 1.0").want(http.StatusOK)
		bot.do(http.MethodGet, path, nil, "User-Agent", "facebookexternalhit/1.1").want(http.StatusOK)
		bot.do(http.MethodGet, path, nil, "Sec-Purpose", "prefetch;prerender").want(http.StatusOK)
	}
	if p := w.payment(id); p.BrowserHash != "" || p.Version != 1 {
		t.Errorf("looking changed the payment: version %d", p.Version)
	}
	w.browser().toBank(path)
}

func TestLinkTokenLeavesTheAddressAfterTheFirstStep(t *testing.T) { // B13
	w := newWorld(t)
	_, path := w.start()
	token := strings.TrimPrefix(path, "/p/")
	b := w.browser()
	confirm := b.toConfirm(path)
	to := b.submit(confirm, "pay").location()
	if strings.Contains(confirm.Request.URL.String()+to+confirm.body+w.returnPath(), token) {
		t.Error("the token is still about")
	}
}

func TestForeignTextIsEscapedAndIsolated(t *testing.T) { // B14, B15
	w := newWorld(t)
	w.merchant.ID, w.merchant.Name = "mer_00000000000000000000000004", "<b>Shop</b>\u202Egnirts"
	w.put()
	_, path := w.start()
	b := w.browser()
	confirm := b.toConfirm(path)
	for _, bad := range []string{"<b>Shop", "<script>alert"} {
		if strings.Contains(b.get(path).body+confirm.body, bad) {
			t.Errorf("%q is markup", bad)
		}
	}
	if !strings.Contains(confirm.body, "<bdi>&lt;b&gt;Shop&lt;/b&gt;\u202Egnirts</bdi>") {
		t.Error("the merchant's name is not isolated")
	}
	if !strings.Contains(confirm.body, "<bdi>DEPOSIT 4711</bdi>") {
		t.Error("the reference is not isolated")
	}
}

func TestAnswerToAFormIs303(t *testing.T) { // B19
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	confirm := b.toConfirm(path)
	b.submit(confirm, "pay").want(http.StatusSeeOther)
	b.submit(b.get("/pay/"+id), "cancel").want(http.StatusSeeOther)
}

func TestReturnIsIdempotentAndProvesNothing(t *testing.T) { // B22, B23
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	b.toBank(path)
	for range 3 { // "success", says the browser; the bank says nothing
		a := b.get(b.get(w.returnPath() + "?status=ACSC&result=success").location()).want(http.StatusOK)
		if a.situation() != "waiting" || !strings.HasPrefix(a.text("lead"), "Sandbank has not reported a payment yet.") {
			t.Fatalf("%s %s", a.situation(), a.text("lead"))
		}
	}
	if n := w.sandbank.calls(); n > 1 {
		t.Errorf("replays asked the bank %d times within a second", n)
	}
	w.clock.Add(2 * time.Second)
	w.sandbank.decide(banks.Status{Transaction: "ACSC"})
	for range 2 { // out of order: "failed", after the bank has paid
		if a := b.get(b.get(w.returnPath() + "/failed").location()).want(http.StatusOK); a.situation() != "paid" {
			t.Errorf("%s", a.situation())
		}
	}
	if p := w.payment(id); len(p.Attempts) != 1 || p.State != psd2.StateExecuted {
		t.Errorf("%d attempts, %s", len(p.Attempts), p.State)
	}
	b.get("/return/att_01234567890123456789012345").want(http.StatusForbidden)
	b.get("/return/nonsense").want(http.StatusNotFound)
	b.do(http.MethodPost, w.returnPath(), url.Values{"x": {"y"}}).want(http.StatusMethodNotAllowed)
}

func TestErrorParametersAreNeverShown(t *testing.T) { // B24
	w := newWorld(t)
	_, path := w.start()
	b := w.browser()
	b.toBank(path)
	w.sandbank.decide(banks.Status{Transaction: "RJCT", Reason: "<i>NO</i>", SCA: "failed"})
	evil := url.QueryEscape(`<img src=x onerror=alert(1)>call 0900-SCAM`)
	to := b.get(w.returnPath() + "/failed?error=" + evil + "&error_description=" + evil).location()
	if strings.Contains(to, "0900-SCAM") {
		t.Errorf("the redirect carries it on: %s", to)
	}
	a := b.get(to).want(http.StatusOK)
	if strings.Contains(a.body, "0900-SCAM") || strings.Contains(a.body, "NO&lt;") || a.situation() != "try_again" || a.find("others") == nil {
		t.Errorf("%s", a.main())
	}
}

func TestBankCannotSendThePayerElsewhere(t *testing.T) { // C36, B27
	w := newWorld(t)
	for _, evil := range []string{"https://evil.example/", "javascript:alert(1)", w.sandbank.site.URL + "@evil.example/", "//evil.example",
		"bankapp://pay?x=1", "intent://pay#Intent;scheme=bankapp;end"} { // an app is reached over its bank's https links only
		w.sandbank.redirect = evil
		id, path := w.start()
		b := w.browser()
		if to := b.submit(b.toConfirm(path), "pay").location(); to != "/pay/"+id {
			t.Errorf("%s: sent to %s", evil, to)
		}
		if a := b.get("/pay/" + id).want(http.StatusOK); a.find("to-bank") != nil {
			t.Errorf("%s is offered as a link", evil)
		}
	}
}

func TestOtherMethodsAreRefused(t *testing.T) { // B32
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	b.toConfirm(path)
	for _, method := range []string{"OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "FOO"} {
		for _, p := range []string{path, "/pay/" + id, "/pay/" + id + "/confirm", "/static/x.css"} {
			if a := b.do(method, p, nil); a.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, p, a.StatusCode)
			}
		}
	}
	b.do(http.MethodGet, "/pay/"+id+"/cancel", nil).want(http.StatusMethodNotAllowed)
	b.do(http.MethodPost, "/pay/"+id, url.Values{"_method": {"DELETE"}}, "X-HTTP-Method-Override", "DELETE").want(http.StatusMethodNotAllowed)
	if w.payment(id).State != psd2.StateAuthorizationRequired {
		t.Error("a GET changed the payment")
	}
}

func TestFormsAreReadStrictly(t *testing.T) {
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	_, fields := b.toConfirm(path).form("pay")
	to := "/pay/" + id + "/confirm"
	b.do(http.MethodPost, to, fields, "Content-Type", "application/json").want(http.StatusUnsupportedMediaType)
	b.do(http.MethodPost, to, url.Values{"bank": {"sandbank", "cafe"}, "consent": fields["consent"]}).want(http.StatusBadRequest)
	b.do(http.MethodPost, to, url.Values{"x": {strings.Repeat("x", 8<<10)}}).want(http.StatusRequestEntityTooLarge)
	b.do(http.MethodPost, to+"?"+fields.Encode(), url.Values{}).want(http.StatusForbidden) // a query is not a form
}

func TestTooManyRequestsWait(t *testing.T) {
	w := newWorld(t, func(c *consent.Config) { c.PerIP, c.PerLink = 100, 0.1 })
	_, path := w.start()
	b := w.browser()
	b.get(path).want(http.StatusOK)
	a := b.get(path).want(http.StatusTooManyRequests)
	if a.Header.Get("Retry-After") != "10" || !strings.Contains(a.main(), "too many requests") {
		t.Errorf("Retry-After %q: %s", a.Header.Get("Retry-After"), a.main())
	}
	_, other := w.start()
	b.get(other).want(http.StatusOK) // another link is another bucket
	w.clock.Add(11 * time.Second)
	b.get(path).want(http.StatusOK)
}

func TestCookiesOffIsSaidBeforeAnythingIsBound(t *testing.T) {
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	page := b.get(path)
	b.client.Jar = nil
	a := b.submit(page, "bank-sandbank").want(http.StatusForbidden)
	if !strings.Contains(a.main(), "Please allow cookies") || w.payment(id).BrowserHash != "" {
		t.Errorf("%s", a.main())
	}
}
