package ops_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/psd2/ops"
)

func TestNothingIsShownWithoutASession(t *testing.T) {
	w := newWorld(t)
	p := w.create("Deposit 1")
	b := w.browser()
	for path, next := range map[string]string{
		"/": "/payments", "/payments": "/payments", "/payments?state=failed": "/payments", "/search": "/payments", "/banks": "/banks",
		"/payments/" + p.ID: "/payments/" + p.ID, "/payments/%2F%2Fevil.example": "/payments", "/unknown": "/unknown",
	} {
		if got := b.get(path).location(); got != "/staff/login?next="+url.QueryEscape(next) {
			t.Errorf("%s leads to %q", path, got)
		}
	}
	if got := b.search(payerIBAN).location(); got != "/staff/login?next=%2Fpayments" {
		t.Errorf("search leads to %q", got)
	}
	b.get("/payments/" + p.ID + "/live").want(http.StatusForbidden)
	b.get("/nowhere").want(http.StatusNotFound)
	b.post("/login", "token", "anything").want(http.StatusNotFound) // the sign-in is in another room
}

// absent is a sign-in that does not answer.
type absent struct{ desk }

func (absent) Person(*http.Request, bool) (ops.Person, bool, error) {
	return ops.Person{}, false, errDown
}

// TestNobodyIsLetInWhileTheSignInIsDown: a fault is no session.
func TestNobodyIsLetInWhileTheSignInIsDown(t *testing.T) {
	w := newWorld(t, func(d *ops.Deps) { d.Staff = absent{} })
	p := w.create("Deposit 1")
	for _, path := range []string{"/payments", "/payments/" + p.ID, "/payments/" + p.ID + "/live"} {
		if a := w.operator().get(path).want(http.StatusInternalServerError); strings.Contains(a.body, errDown.Error()) || strings.Contains(a.body, "Deposit 1") {
			t.Errorf("%s shows what it must not:\n%s", path, a.main())
		}
	}
}

func TestRoomNeedsASignIn(t *testing.T) {
	w := newWorld(t)
	err := error(nil)
	newWorld(t, func(d *ops.Deps) {
		without := *d
		without.Staff = nil
		_, err = ops.New(without)
	})
	if err == nil {
		t.Error("a room without sign-in was made")
	}
	if _, err := ops.New(ops.Deps{Store: w.db, Staff: desk{}}); err == nil || errors.Is(err, errDown) {
		t.Errorf("a room without hub: %v", err)
	}
}

func TestForeignPagesCannotPost(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	w.create("Deposit 1")
	for _, path := range []string{"/search", "/decisions"} {
		form := url.Values{"q": {"Deposit 1"}}
		b.do(http.MethodPost, path, form, "Sec-Fetch-Site", "cross-site").want(http.StatusForbidden)
		b.do(http.MethodPost, path, form, "Sec-Fetch-Site", "same-site").want(http.StatusForbidden)
		b.do(http.MethodPost, path, form, "Sec-Fetch-Site", "", "Origin", "https://evil.example").want(http.StatusForbidden)
	}
	b.search("Deposit 1").want(http.StatusOK)
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
	b.do(http.MethodPut, "/search", url.Values{}).want(http.StatusMethodNotAllowed)
	b.do(http.MethodPost, "/search", url.Values{"q": {strings.Repeat("x", 5000)}}).want(http.StatusRequestEntityTooLarge)
	b.do(http.MethodPost, "/search", url.Values{"q": {"a", "b"}}).want(http.StatusBadRequest)
	b.do(http.MethodPost, "/search", url.Values{"q": {"a"}}, "Content-Type", "application/json").want(http.StatusUnsupportedMediaType)
	b.do(http.MethodHead, "/payments", nil).want(http.StatusOK)
}
