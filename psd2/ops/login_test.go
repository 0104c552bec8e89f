package ops_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/ops"
)

func TestNothingIsShownWithoutASession(t *testing.T) {
	w := newWorld(t)
	p := w.create("Deposit 1")
	b := w.browser()
	for path, want := range map[string]string{
		"/": "/login", "/payments": "/login", "/payments?state=failed": "/login", "/search": "/login",
		"/banks":                       "/login?next=%2Fbanks",
		"/payments/" + p.ID:            "/login?next=" + url.QueryEscape("/payments/"+p.ID),
		"/payments/%2F%2Fevil.example": "/login",
	} {
		if got := b.get(path).location(); got != want {
			t.Errorf("%s leads to %q, want %q", path, got, want)
		}
	}
	if got := b.search(payerIBAN).location(); got != "/login" {
		t.Errorf("search leads to %q", got)
	}
	b.get("/payments/" + p.ID + "/live").want(http.StatusForbidden)
	b.get("/nowhere").want(http.StatusNotFound)
}

func TestTokenOpensASession(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.post("/login", "token", token[:len(token)-1]).want(http.StatusForbidden).says("This token is not right")
	b.post("/login").want(http.StatusForbidden)
	a := b.post("/login", "token", " "+token+"\n") // as copied from a file
	a.want(http.StatusSeeOther)
	c := a.Cookies()
	if len(c) != 1 || c[0].Name != "__Host-ro_session" || !c[0].Secure || !c[0].HttpOnly || c[0].Path != "/" || c[0].Domain != "" ||
		c[0].SameSite != http.SameSiteLaxMode || c[0].MaxAge != 0 || len(c[0].Value) < 40 {
		t.Fatalf("cookie %+v", c)
	}
	b.get("/payments").want(http.StatusOK)
	if again := w.operator().client.Jar.Cookies(a.Request.URL); len(again) != 1 || again[0].Value == c[0].Value {
		t.Errorf("two sessions have one cookie")
	}
	if strings.Contains(w.log.String(), token) {
		t.Errorf("the token is in the log")
	}
	for _, want := range []string{`"login":"accepted"`, `"login":"refused"`} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

func TestLoginLeadsOnlyToPagesOfOurs(t *testing.T) {
	w := newWorld(t)
	p := w.create("Deposit 1")
	for next, want := range map[string]string{
		"/payments/" + p.ID: "/payments/" + p.ID, "/banks": "/banks",
		"https://evil.example/": "/payments", "//evil.example": "/payments", "/payments/../../evil": "/payments",
		"/payments/" + p.ID + "\r\nX: y": "/payments", "/logout": "/payments", "/\\evil.example": "/payments",
	} {
		if got := w.browser().do(http.MethodPost, "/login", url.Values{"token": {token}, "next": {next}}).location(); got != want {
			t.Errorf("next=%q leads to %q", next, got)
		}
		w.clock.Add(time.Minute) // below the limit on tries
	}
}

func TestGuessingTheTokenIsThrottled(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for range 5 {
		b.post("/login", "token", "a guess that is wrong").want(http.StatusForbidden)
	}
	a := b.post("/login", "token", token).want(http.StatusTooManyRequests) // even the right one
	if s := a.Header.Get("Retry-After"); s != "12" {
		t.Errorf("Retry-After %q", s)
	}
	b.get("/login").want(http.StatusOK)
	w.clock.Add(12 * time.Second)
	b.post("/login", "token", "a guess that is wrong").want(http.StatusForbidden)
	b.post("/login", "token", token).want(http.StatusTooManyRequests)
	w.clock.Add(time.Minute)
	b.post("/login", "token", token).want(http.StatusSeeOther)
}

func TestSessionEndsWhenIdle(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	for range 4 {
		w.clock.Add(14 * time.Minute)
		b.get("/payments").want(http.StatusOK)
	}
	w.clock.Add(15 * time.Minute)
	if to := b.get("/payments").location(); to != "/login" {
		t.Errorf("leads to %q", to)
	}
	b.get("/login").want(http.StatusOK).says("Your session has ended")
}

func TestSessionEndsAfterEightHours(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	for range 47 {
		w.clock.Add(10 * time.Minute)
		b.get("/banks").want(http.StatusOK)
	}
	w.clock.Add(10 * time.Minute)
	b.get("/banks").want(http.StatusSeeOther)
}

func TestLogoutEndsTheSessionOnTheServer(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	stolen := b.client.Jar.Cookies(b.get("/payments").Request.URL)[0].String()
	if to := b.post("/logout").location(); to != "/login" {
		t.Errorf("leads to %q", to)
	}
	b.get("/payments").want(http.StatusSeeOther)
	w.browser().do(http.MethodGet, "/payments", nil, "Cookie", stolen).want(http.StatusSeeOther)
}

func TestPlantedSecondCookieIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	good := b.client.Jar.Cookies(b.get("/payments").Request.URL)[0].String()
	w.browser().do(http.MethodGet, "/payments", nil, "Cookie", good+"; __Host-ro_session=planted").want(http.StatusSeeOther)
}

func TestForeignPagesCannotPost(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	w.create("Deposit 1")
	for _, path := range []string{"/search", "/logout", "/login"} {
		form := url.Values{"q": {"Deposit 1"}, "token": {token}}
		b.do(http.MethodPost, path, form, "Sec-Fetch-Site", "cross-site").want(http.StatusForbidden)
		b.do(http.MethodPost, path, form, "Sec-Fetch-Site", "same-site").want(http.StatusForbidden)
		b.do(http.MethodPost, path, form, "Sec-Fetch-Site", "", "Origin", "https://evil.example").want(http.StatusForbidden)
	}
	b.get("/payments").want(http.StatusOK) // the logout did not happen
}

func TestErrorsCarryTheHeadersToo(t *testing.T) { // B03
	w := newWorld(t)
	b := w.operator()
	b.get("/payments/pay_nonsense").want(http.StatusNotFound).says("There is no such payment or page")
	b.get("/payments/pay_01kaf000000000000000000000").want(http.StatusNotFound)
	b.get("/payments?state=paid").want(http.StatusNotFound)
	b.get("/static/nothing.css").want(http.StatusNotFound)
	b.do(http.MethodDelete, "/payments", nil).want(http.StatusMethodNotAllowed)
	b.do(http.MethodOptions, "/payments", nil).want(http.StatusMethodNotAllowed)
	b.do(http.MethodPut, "/login", url.Values{}).want(http.StatusMethodNotAllowed)
	b.do(http.MethodPost, "/search", url.Values{"q": {strings.Repeat("x", 5000)}}).want(http.StatusRequestEntityTooLarge)
	b.do(http.MethodPost, "/search", url.Values{"q": {"a", "b"}}).want(http.StatusBadRequest)
	b.do(http.MethodPost, "/search", url.Values{"q": {"a"}}, "Content-Type", "application/json").want(http.StatusUnsupportedMediaType)
	b.do(http.MethodHead, "/payments", nil).want(http.StatusOK)
}

func TestShortTokenIsNoSecret(t *testing.T) {
	w := newWorld(t)
	for _, short := range []string{"", "operator", "fifteen-letters"} {
		if _, err := ops.New(ops.Deps{Hub: nil, Store: w.db, Token: short}); err == nil || !strings.Contains(err.Error(), "token") {
			t.Errorf("token %q: %v", short, err)
		}
	}
}
