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
