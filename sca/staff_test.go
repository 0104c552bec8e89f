package sca_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/sca"
)

// colleague is somebody who works here, with his factors.
type colleague struct {
	staff    *sca.Staff
	user     sca.User
	app      app
	key      *key
	recovery []string
}

// table is the roles of the people who work here.
var table = sca.Roles{"operator": {"payments:read", "outcomes:decide"}, "officer": {"desk:analyst"}, "auditor": {"payments:read", "audit:read"}}

const password = "correct horse battery"

func (w *world) hire(login string, roles ...string) *colleague {
	w.t.Helper()
	c := &colleague{staff: sca.NewStaff(w.Service, table)}
	u, token, err := c.staff.Add(w.t.Context(), login, "Olga Operator", roles)
	must(w.t, err)
	c.user = u
	secret, err := w.OpenEnrolment(w.t.Context(), token)
	must(w.t, err)
	by := w.session(sca.SessionEnrol, secret)
	c.app = w.enrolTOTP(by)
	must(w.t, w.VerifyCode(w.t.Context(), by, sca.TOTP, c.app.code()))
	by = w.session2(by)
	must(w.t, w.SetPassword(w.t.Context(), by, password))
	c.recovery, err = w.NewRecoveryCodes(w.t.Context(), by)
	must(w.t, err)
	c.key = w.enrolPasskey(by)
	w.clock.Add(31 * time.Second)
	return c
}

func request(secret string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: sca.StaffCookie, Value: secret})
	return r
}

func (c *colleague) byCode(t *testing.T, l sca.CodeLogin) (string, error) {
	t.Helper()
	secret, _, err := c.staff.LoginCode(t.Context(), l)
	return secret, err
}

func (c *colleague) byKey(t *testing.T) (string, error) {
	t.Helper()
	begun, err := c.staff.BeginLogin(t.Context(), browser)
	must(t, err)
	secret, _, err := c.staff.LoginPasskey(t.Context(), browser, begun.ID, c.key.assert(t, begun.Options))
	return secret, err
}

func TestStaffSignInByTwoElements(t *testing.T) { // D10
	testkitBoth(t, func(t *testing.T, w *world) {
		o := w.hire("olga", "operator")
		good := sca.CodeLogin{Login: "OLGA ", Password: password, Code: o.app.code(), Address: "192.0.2.1"}
		for name, change := range map[string]func(*sca.CodeLogin){
			"password alone": func(l *sca.CodeLogin) { l.Code = "" },
			"code alone":     func(l *sca.CodeLogin) { l.Password = "" },
			"wrong password": func(l *sca.CodeLogin) { l.Password += "x" },
			"nobody":         func(l *sca.CodeLogin) { l.Login = "nobody" },
		} {
			l := good
			change(&l)
			if _, err := o.byCode(t, l); !sca.Refused(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		secret, err := o.byCode(t, good)
		must(t, err)
		if u, err := o.staff.Session(request(secret)); err != nil || u.ID != o.user.ID || u.Name != "Olga Operator" || len(u.Roles) != 1 || !u.May("outcomes:decide") {
			t.Errorf("%+v %v", u, err)
		}
		_, err = o.byCode(t, good) // the code is used
		refused(t, err)
		secret, err = o.byKey(t)
		must(t, err)
		if _, err := o.staff.Session(request(secret)); err != nil {
			t.Error(err)
		}
		w.clock.Add(30 * time.Second)
		_, err = o.byCode(t, sca.CodeLogin{Login: "olga", Password: o.recovery[0], Code: o.app.code()})
		must(t, err)
		w.clock.Add(30 * time.Second)
		_, err = o.byCode(t, sca.CodeLogin{Login: "olga", Password: o.recovery[0], Code: o.app.code()})
		refused(t, err)
	})
}

func TestOutsidersDoNotLockStaffOut(t *testing.T) { // A10
	w := sqlite(t)
	o := w.hire("olga", "operator")
	for range 10 {
		_, err := o.byCode(t, sca.CodeLogin{Login: "olga", Password: "guess guess guess", Code: "000000", Address: "198.51.100.7"})
		refused(t, err)
	}
	_, err := o.byCode(t, sca.CodeLogin{Login: "olga", Password: password, Code: o.app.code(), Address: "198.51.100.7"})
	refused(t, err) // from there, not even the right one
	_, err = o.byCode(t, sca.CodeLogin{Login: "olga", Password: password, Code: o.app.code(), Address: "192.0.2.1"})
	must(t, err)
}

func TestStaffSessionsEnd(t *testing.T) { // D02
	w := sqlite(t)
	o := w.hire("olga", "operator")
	in := func(secret string) bool {
		_, err := o.staff.Session(request(secret))
		if err != nil && !sca.NoSession(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	secret, err := o.byKey(t)
	must(t, err)
	w.clock.Add(14 * time.Minute)
	if !in(secret) {
		t.Error("over after 14 minutes")
	}
	w.clock.Add(14 * time.Minute)
	if _, err := o.staff.Watching(request(secret)); err != nil { // a page that looks by itself
		t.Error("use did not prolong it")
	}
	w.clock.Add(61 * time.Second)
	if in(secret) {
		t.Error("open after 15 minutes without use")
	}
	secret, err = o.byKey(t)
	must(t, err)
	for range 8 * 6 {
		w.clock.Add(10*time.Minute - time.Second)
		in(secret)
	}
	w.clock.Add(time.Minute)
	if in(secret) {
		t.Error("open after eight hours")
	}
	// Other roles, other session; no role, none.
	secret, err = o.byKey(t)
	must(t, err)
	u, err := o.staff.SetRoles(t.Context(), "olga", []string{"auditor", "operator"})
	must(t, err)
	if in(secret) || !u.May("audit:read") || u.May("desk:mlro") {
		t.Error("a session outlived a change of roles")
	}
	secret, err = o.byKey(t)
	must(t, err)
	if _, err := o.staff.SetRoles(t.Context(), "olga", nil); err != nil {
		t.Error(err)
	}
	if in(secret) {
		t.Error("somebody dismissed is still in")
	}
	_, err = o.byKey(t)
	refused(t, err)
	_, err = o.byCode(t, sca.CodeLogin{Login: "olga", Password: password, Code: o.app.code(), Address: "192.0.2.1"})
	refused(t, err)
	if _, _, err := o.staff.Add(t.Context(), "Olga", "Another", []string{"operator"}); reason(err) != "login_taken" {
		t.Errorf("two people with one login: %v", err)
	}
	if _, err := o.staff.SetRoles(t.Context(), "olga", []string{"root"}); reason(err) != "role_unknown" || !strings.Contains(err.Error(), `"root", only auditor, officer, operator`) {
		t.Errorf("a role nobody knows: %v", err)
	}
}

func TestResetTakesEverythingAway(t *testing.T) {
	w := sqlite(t)
	o := w.hire("olga", "operator")
	secret, err := o.byKey(t)
	must(t, err)
	_, token, err := o.staff.Reset(t.Context(), "olga")
	must(t, err)
	if _, err := o.staff.Session(request(secret)); !sca.NoSession(err) {
		t.Errorf("the session is open: %v", err)
	}
	_, err = o.byKey(t)
	refused(t, err)
	opened, err := w.OpenEnrolment(t.Context(), token)
	must(t, err)
	w.enrolPasskey(w.session(sca.SessionEnrol, opened))
}

func TestTwoSessionCookiesAreNone(t *testing.T) { // B10
	w := sqlite(t)
	o := w.hire("olga", "operator")
	secret, err := o.byKey(t)
	must(t, err)
	r := request(secret)
	r.AddCookie(&http.Cookie{Name: sca.StaffCookie, Value: "planted"})
	if _, err := o.staff.Session(r); !sca.NoSession(err) {
		t.Errorf("one of two cookies was believed: %v", err)
	}
}

// TestRightsAreThoseOfTheTable: of all roles that somebody has, as the table that
// this process was started with reads.
func TestRightsAreThoseOfTheTable(t *testing.T) {
	w := sqlite(t)
	o := w.hire("olga", "operator", "auditor")
	secret, err := o.byKey(t)
	must(t, err)
	for _, c := range []struct {
		roles sca.Roles
		want  []string
	}{
		{table, []string{"audit:read", "outcomes:decide", "payments:read"}},
		{sca.Roles{"operator": {"desk:mlro"}, "officer": {"payments:read"}}, []string{"desk:mlro"}}, // there are no auditors any more
		{nil, nil},
	} {
		u, err := sca.NewStaff(w.Service, c.roles).Session(request(secret))
		if err != nil || !slices.Equal(u.Rights, c.want) {
			t.Errorf("%v: %v %v", c.roles, u.Rights, err)
		}
	}
	for name, bad := range map[string]sca.Roles{
		"unknown right": {"operator": {"payments:reed"}}, "no rights": {"operator": {}}, "blank": {"an operator": {"payments:read"}}, "capital": {"Operator": {"payments:read"}},
	} {
		if bad.Check([]string{"payments:read"}) == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
