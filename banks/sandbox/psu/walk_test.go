package psu

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"
	"time"
)

// RFC 6238 appendix B, SHA-1, the last six of eight digits.
func TestTOTPVectors(t *testing.T) {
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got, err := TOTP(secret, time.Unix(at, 0)); err != nil || got != want {
			t.Errorf("%d: %s %v, want %s", at, got, err, want)
		}
	}
	if _, err := TOTP("not base32!", time.Unix(0, 0)); err == nil {
		t.Error("an odd secret was accepted")
	}
}

func TestWalkEndsOnOddPages(t *testing.T) {
	for name, c := range map[string]struct {
		page string
		want error
	}{
		"no form":         {`<p>Hello`, ErrDeadEnd},
		"no known button": {`<form action="/x"><button value="subscribe">`, ErrDeadEnd},
		"form leads away": {`<form action="https://other.example/x"><button value="pay">`, ErrDeadEnd},
		"for ever":        {`<form action="/pay/1"><button value="pay">`, ErrLoop},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.page)) }))
			defer srv.Close()
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			client := srv.Client()
			client.Jar = jar
			if _, err := Walk(context.Background(), client, srv.URL+"/pay/1", Credentials{}, Wish{}, time.Now); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestWalkNeedsCookies(t *testing.T) {
	if _, err := Walk(context.Background(), &http.Client{}, "http://127.0.0.1/", Credentials{}, Wish{}, time.Now); err == nil {
		t.Error("a client without a jar was accepted")
	}
}

// TestConfirmAnswersTheOldestRequest: of an app's page that asks for several
// things, and with the button that fits.
func TestConfirmAnswersTheOldestRequest(t *testing.T) {
	const page = `<form action="/1"><button name="action" value="cancel"><button name="action" value="keep"></form>
		<form action="/2"><input type="radio" name="account" value="A" checked><input type="radio" name="account" value="B"><button name="action" value="pay"><button name="action" value="decline"></form>
		<form action="/3"><button name="action" value="pay"></form>`
	var got string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(page))
			return
		}
		_ = r.ParseForm()
		got = r.URL.Path + " " + r.PostForm.Encode()
		w.Header().Set("Location", "/")
		w.WriteHeader(http.StatusSeeOther)
	}))
	defer srv.Close()
	for want, wish := range map[string]Wish{
		"/2 account=A&action=pay": {}, "/2 account=B&action=pay": {Account: "B"}, "/2 account=A&action=decline": {Decline: true},
		"/1 action=cancel": {Cancel: true}, "/1 action=keep": {Cancel: true, Decline: true},
	} {
		if err := Confirm(t.Context(), srv.Client(), srv.URL, wish); err != nil || got != want {
			t.Errorf("%+v: %q %v, want %q", wish, got, err, want)
		}
	}
}

func TestSayAnswersWhatIsAsked(t *testing.T) {
	c := Credentials{User: "anna", Password: "p", TOTPSecret: "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}
	for asked, want := range map[string]Said{"identify": {User: "anna"}, "password": {User: "anna", Password: "p"}, "method": {Method: "app"}, "code": {Code: "287082"}} {
		if got, err := c.Say(asked, []string{"sms", "app"}, time.Unix(59, 0)); err != nil || got != want {
			t.Errorf("%s: %+v %v", asked, got, err)
		}
	}
	for asked, methods := range map[string][]string{"method": {"sms"}, "blood": nil} {
		if _, err := c.Say(asked, methods, time.Unix(59, 0)); err == nil {
			t.Errorf("%s of %v was answered", asked, methods)
		}
	}
}
