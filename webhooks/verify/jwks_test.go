package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/rialto-hub/rialto/webhooks/verify"
)

// keyServer is the hub's /.well-known/jwks.json, counted.
type keyServer struct {
	hits atomic.Int64
	body atomic.Value // []byte, or nil for 503
	url  string
}

func serveKeys(t *testing.T, body []byte) *keyServer {
	t.Helper()
	s := &keyServer{}
	s.body.Store(body)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.hits.Add(1)
		if body := s.body.Load().([]byte); body != nil {
			_, _ = w.Write(body)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/.well-known/jwks.json"
	return s
}

func (s *keyServer) receiver(t *testing.T) *verify.Verifier {
	t.Helper()
	fetch, err := verify.Fetch(nil, s.url)
	if err != nil {
		t.Fatal(err)
	}
	return verifier(t, verify.Config{FetchJWKS: fetch})
}

func accept(t *testing.T, v *verify.Verifier, hub *sender, at time.Time) error {
	t.Helper()
	_, err := v.Verify(hub.deliver(t, "evt_1", at, []byte(eventBody)), []byte(eventBody), at)
	return err
}

func TestKeySetIsFetchedOnceAndFollowsRotation(t *testing.T) { // C26
	hub := newSender(t)
	server := serveKeys(t, hub.jwks(t))
	v := server.receiver(t)
	for i := range 20 {
		if err := accept(t, v, hub, noon.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.hits.Load(); n != 1 {
		t.Fatalf("the key set was fetched %d times", n)
	}
	next := newSender(t)
	next.kid = "hub-2"
	server.body.Store(next.jwks(t))
	if err := accept(t, v, next, noon.Add(2*time.Minute)); err != nil {
		t.Fatalf("after the rotation: %v", err)
	}
	wantReason(t, accept(t, v, hub, noon.Add(2*time.Minute)), verify.ReasonKey) // the old key is gone
}

func TestRetiredKeyIsForgottenWithinTheHour(t *testing.T) { // C26
	hub, next := newSender(t), newSender(t)
	next.kid = "hub-2"
	server := serveKeys(t, hub.jwks(t))
	v := server.receiver(t)
	if err := accept(t, v, hub, noon); err != nil {
		t.Fatal(err)
	}
	server.body.Store(next.jwks(t))
	if err := accept(t, v, hub, noon.Add(59*time.Minute)); err != nil {
		t.Fatal(err)
	}
	wantReason(t, accept(t, v, hub, noon.Add(time.Hour)), verify.ReasonKey)
}

func TestUnknownKeysCauseOneFetchAMinute(t *testing.T) { // C26
	hub, stranger := newSender(t), newSender(t)
	server := serveKeys(t, hub.jwks(t))
	v := server.receiver(t)
	for i := range 200 {
		stranger.kid = "k" + strings.Repeat("x", i%60)
		wantReason(t, accept(t, v, stranger, noon.Add(time.Duration(i)*200*time.Millisecond)), verify.ReasonKey)
	}
	if n := server.hits.Load(); n != 1 {
		t.Fatalf("40 seconds of unknown keys made %d fetches", n)
	}
	wantReason(t, accept(t, v, stranger, noon.Add(time.Minute)), verify.ReasonKey)
	if n := server.hits.Load(); n != 2 {
		t.Fatalf("%d fetches after a minute", n)
	}
	if err := accept(t, v, hub, noon); err != nil {
		t.Fatal(err)
	}
}

func TestFailedFetchCountsAndKeepsTheOldKeys(t *testing.T) { // C26
	hub, stranger := newSender(t), newSender(t)
	stranger.kid = "other"
	server := serveKeys(t, hub.jwks(t))
	v := server.receiver(t)
	if err := accept(t, v, hub, noon); err != nil {
		t.Fatal(err)
	}
	private, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: ed25519Key(t), KeyID: "other"}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, poison := range [][]byte{
		nil, []byte("<html>"), []byte(`{"keys":[]}`), []byte(`{"keys":[{"kty":"oct","k":"AAAA","kid":"other"}]}`), private,
		[]byte(strings.Repeat(" ", 70<<10)), []byte(`{"keys":null}`),
	} {
		server.body.Store(poison)
		at := noon.Add(time.Duration(i+2) * 2 * time.Hour)
		before := server.hits.Load()
		if err := accept(t, v, hub, at); err != nil {
			t.Fatalf("answer %d took the keys away: %v", i, err)
		}
		wantReason(t, accept(t, v, stranger, at.Add(time.Second)), verify.ReasonKey)
		if n := server.hits.Load() - before; n != 1 {
			t.Fatalf("answer %d was fetched %d times", i, n)
		}
	}
	wantReason(t, accept(t, v, hub, noon.Add(25*time.Hour)), verify.ReasonKey) // a day without news is too long
	server.body.Store(hub.jwks(t))
	if err := accept(t, v, hub, noon.Add(26*time.Hour)); err != nil {
		t.Fatal(err)
	}
}

func TestFirstDeliveriesShareOneFetch(t *testing.T) {
	hub := newSender(t)
	server := serveKeys(t, hub.jwks(t))
	v := server.receiver(t)
	header := hub.deliver(t, "evt_1", noon, []byte(eventBody))
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if _, err := v.Verify(header, []byte(eventBody), noon); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := server.hits.Load(); n != 1 {
		t.Fatalf("the key set was fetched %d times", n)
	}
}

func TestKeySetAddressIsFixedAndNotRedirected(t *testing.T) { // C26
	for _, address := range []string{"http://pay.example/jwks", "ftp://pay.example/jwks", "/jwks", "", "https://user:pw@pay.example/", "http://127.0.0.1.evil.example/"} {
		if _, err := verify.Fetch(nil, address); err == nil {
			t.Errorf("%q was accepted", address)
		}
	}
	hub := newSender(t)
	target := serveKeys(t, hub.jwks(t))
	redirecting := httptest.NewServer(http.RedirectHandler(target.url, http.StatusFound))
	defer redirecting.Close()
	fetch, err := verify.Fetch(nil, redirecting.URL)
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, accept(t, verifier(t, verify.Config{FetchJWKS: fetch}), hub, noon), verify.ReasonKey)
	if target.hits.Load() != 0 {
		t.Fatal("the redirect was followed")
	}
}

func TestPinnedKeySetWorksWithoutNetworkAndIsChecked(t *testing.T) {
	hub := newSender(t)
	down := errors.New("no network")
	v := verifier(t, verify.Config{JWKS: hub.jwks(t), FetchJWKS: func(context.Context) ([]byte, error) { return nil, down }})
	if err := accept(t, v, hub, noon); err != nil {
		t.Fatal(err)
	}
	empty := verifier(t, verify.Config{FetchJWKS: func(context.Context) ([]byte, error) { return nil, down }})
	if err := accept(t, empty, hub, noon); !errors.Is(err, down) {
		t.Fatalf("the cause is lost: %v", err)
	}
	for _, bad := range []string{"", "{}", `{"keys":[{"kty":"oct","k":"AAAA","kid":"a"}]}`} {
		if _, err := verify.New(verify.Config{JWKS: []byte(bad)}); err == nil {
			t.Errorf("%q was pinned", bad)
		}
	}
	if _, err := verify.New(verify.Config{}); err == nil {
		t.Error("a verifier without any key was made")
	}
}
