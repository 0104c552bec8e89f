package api_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// with is the same client with another key.
func (m *merchant) with(key *jose.Key) *merchant { return &merchant{m.Merchant, key, m.w} }

// registers replaces the registered keys.
func (m *merchant) registers(keys ...*jose.Key) {
	m.w.t.Helper()
	m.Keys = jwks(m.w.t, keys...)
	m.save()
}

func (w *world) newKey() *jose.Key {
	w.t.Helper()
	key, err := jose.GenerateKey(jose.ES256, rand.Reader, w.now())
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

// C25: while a merchant changes his key both are registered and both sign. Once
// the old one has been taken out it gets no token and signs no order, not even
// with a token from before; a repetition of what it signed pays nothing again.
func TestC25RollbackToAnOldMerchantKeyIsRefused(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *world) {
		m := w.merchant("Casino")
		old, next := m.with(m.key), m.with(w.newKey())
		body := m.depositJSON()
		refused := func(what string, who *merchant, token string) {
			t.Helper()
			before := w.payments()
			req := who.orderWith(token, http.MethodPost, "/v1/payments", rand.Text(), body)
			if got := w.send(req); got.StatusCode != 401 || got.code() != "signature_kid" || w.payments() != before {
				t.Errorf("%s: an order was answered with %d %s", what, got.StatusCode, got.body)
			}
			if got := w.askToken(tokenForm(who.assertion(nil))); got.StatusCode != 401 || got.code() != "invalid_client" {
				t.Errorf("%s: a token was answered with %d %s", what, got.StatusCode, got.body)
			}
		}
		token := old.token()
		refused("not registered yet", next, token)
		m.registers(old.key, next.key)
		for name, who := range map[string]*merchant{"old": old, "new": next} {
			if got := who.post("/v1/payments", name, body); got.StatusCode != 201 {
				t.Fatalf("both are registered, %s: %d %s", name, got.StatusCode, got.body)
			}
		}
		token = old.token()
		replay := old.signed("/v1/payments", "old", body)
		m.registers(next.key)
		refused("taken out", old, token)
		if got := w.send(replay); got.StatusCode != 401 || w.payments() != 2 {
			t.Errorf("what it signed before: %d %s", got.StatusCode, got.body)
		}
		if got := next.post("/v1/payments", "after", body); got.StatusCode != 201 {
			t.Errorf("the new key: %d %s", got.StatusCode, got.body)
		}
	})
}

// rolls asks for a key to be replaced; change spoils the inner JWS's claims.
func (m *merchant) rolls(next *jose.Key, overlap int, change func(*jose.RolloverRequest)) *answer {
	m.w.t.Helper()
	about := jose.RolloverRequest{ClientID: m.ID, URL: m.w.url + "/v1/signing-keys", Replaces: m.key.Public().Thumbprint()}
	if change != nil {
		change(&about)
	}
	inner, err := jose.SignRollover(next, about, m.w.now())
	if err != nil {
		m.w.t.Fatal(err)
	}
	return m.sendsRollover(inner, overlap)
}

func (m *merchant) sendsRollover(inner string, overlap int) *answer {
	m.w.t.Helper()
	return m.post("/v1/signing-keys", rand.Text(), fmt.Sprintf(`{"new_key":%q,"overlap_seconds":%d}`, inner, overlap))
}

func (w *world) rollingMerchant() *merchant {
	w.t.Helper()
	m := w.merchant("Casino")
	m.Scopes = append(m.Scopes, api.ScopeKeysWrite)
	m.save()
	return m
}

// kids are the keys that count, and whether each has an end.
func (m *merchant) kids(by *jose.Key) map[string]bool {
	m.w.t.Helper()
	list, err := m.with(by).client().SigningKeys(m.w.t.Context())
	if err != nil {
		m.w.t.Fatal(err)
	}
	out := map[string]bool{}
	for _, k := range list.Data {
		out[k.ID] = k.ExpiresAt != nil
	}
	return out
}

// C25: old and new key both sign a rollover. Both count until the overlap ends,
// then the new one alone; the old one replaces nothing any more and never comes
// back. The merchant's own client does it, and his endpoints hear of it.
func TestC25SigningKeyIsReplaced(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *world) {
		m := w.rollingMerchant()
		old, next := m.key, w.newKey()
		client := m.client()
		list, err := client.ReplaceKey(t.Context(), next, time.Hour, "roll")
		if err != nil || len(list.Data) != 2 {
			t.Fatalf("%+v %v", list, err)
		}
		if _, err := client.Create(t.Context(), m.deposit(), rand.Text()); err != nil {
			t.Errorf("the client with its new key: %v", err)
		}
		if got, want := m.kids(next), map[string]bool{old.ID(): true, next.ID(): false}; !maps.Equal(got, want) {
			t.Errorf("registered %v, want %v", got, want)
		}
		for name, key := range map[string]*jose.Key{"old": old, "new": next} {
			if got := m.with(key).post("/v1/payments", "both-"+name, m.depositJSON()); got.StatusCode != 201 {
				t.Errorf("the %s key during the overlap: %d %s", name, got.StatusCode, got.body)
			}
		}
		thief := w.newKey()
		if got := m.rolls(thief, 0, nil); got.StatusCode != 409 || got.code() != "signing_key_replaced" {
			t.Errorf("the old key replaces itself again: %d %s", got.StatusCode, got.body)
		}
		w.pass(time.Hour + time.Second)
		if got := w.askToken(tokenForm(m.assertion(nil))); got.StatusCode != 401 {
			t.Errorf("a token for the old key after the overlap: %d %s", got.StatusCode, got.body)
		}
		if got := w.send(m.orderWith(m.with(next).token(), http.MethodPost, "/v1/payments", "late", m.depositJSON())); got.StatusCode != 401 || got.code() != "signature_kid" {
			t.Errorf("the old key after the overlap: %d %s", got.StatusCode, got.body)
		}
		now := m.with(next)
		for _, when := range []string{"while it is remembered", "when it is gone"} {
			if got := now.rolls(old, 0, nil); got.StatusCode != 409 || got.code() != "signing_key_known" {
				t.Errorf("back to the old key, %s: %d %s", when, got.StatusCode, got.body)
			}
			third := w.newKey()
			if got := now.rolls(third, 0, nil); got.StatusCode != 201 {
				t.Fatalf("once more: %d %s", got.StatusCode, got.body)
			}
			now = m.with(third)
		}
		events, err := w.db.PaymentEvents(t.Context(), m.ID)
		if err != nil || len(events) != 3 || events[0].Type != psd2.EventSigningKeyReplaced || !strings.Contains(string(events[0].Data), next.ID()) {
			t.Errorf("told of it: %+v %v", events, err)
		}
		if got := m.kids(now.key); len(got) != 1 {
			t.Errorf("left: %v", got)
		}
	})
}

// C25: whoever has one of the two keys replaces nothing, nor whoever has seen
// another rollover; a refused one changes nothing and nobody is told. What an
// inner JWS may be is in package jose.
func TestC25RolloverNeedsBothKeys(t *testing.T) {
	w := newWorld(t)
	m, other := w.rollingMerchant(), w.rollingMerchant()
	next := w.newKey()
	about := jose.RolloverRequest{ClientID: m.ID, URL: w.url + "/v1/signing-keys", Replaces: m.key.Public().Thumbprint()}
	of := func(key *jose.Key, change func(*jose.RolloverRequest)) string {
		t.Helper()
		a := about
		if change != nil {
			change(&a)
		}
		inner, err := jose.SignRollover(key, a, w.now())
		if err != nil {
			t.Fatal(err)
		}
		return inner
	}
	for name, c := range map[string]struct {
		inner  string
		status int
		code   string
	}{
		"no inner":                {"", 400, "new_key_invalid"},
		"another merchant's":      {of(next, func(a *jose.RolloverRequest) { a.ClientID = other.ID }), 400, "new_key_invalid"},
		"for another call":        {of(next, func(a *jose.RolloverRequest) { a.URL = w.url + "/v1/payments" }), 400, "new_key_invalid"},
		"in place of another key": {of(next, func(a *jose.RolloverRequest) { a.Replaces = other.key.Public().Thumbprint() }), 400, "new_key_invalid"},
		"in place of itself":      {of(m.key, nil), 409, "signing_key_known"},
	} {
		if got := m.sendsRollover(c.inner, 0); got.StatusCode != c.status || got.code() != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, got.StatusCode, got.body, c.status, c.code)
		}
	}
	if got := w.askToken(tokenForm(m.with(next).assertion(nil))); got.StatusCode != 401 {
		t.Errorf("a token for the new key alone: %d %s", got.StatusCode, got.body)
	}
	if got := w.send(m.with(next).orderWith(m.token(), http.MethodPost, "/v1/signing-keys", "k", fmt.Sprintf(`{"new_key":%q}`, of(next, nil)))); got.StatusCode != 401 || got.code() != "signature_kid" {
		t.Errorf("the new key alone, with a stolen token: %d %s", got.StatusCode, got.body)
	}
	if got := w.merchant("Shop").rolls(next, 0, nil); got.StatusCode != 403 || got.code() != "insufficient_scope" {
		t.Errorf("without the scope: %d %s", got.StatusCode, got.body)
	}
	for _, overlap := range []int{-1, 2592001} {
		if got := m.rolls(next, overlap, nil); got.StatusCode != 400 || got.field() != "overlap_seconds" {
			t.Errorf("an overlap of %d s: %d %s", overlap, got.StatusCode, got.body)
		}
	}
	if got, want := m.kids(m.key), map[string]bool{m.key.ID(): false}; !maps.Equal(got, want) {
		t.Errorf("registered %v, want %v", got, want)
	}
	if events, err := w.db.PaymentEvents(t.Context(), m.ID); err != nil || len(events) != 0 {
		t.Errorf("told of what was refused: %+v %v", events, err)
	}
}

// A merchant replaces his key with the JOSE library he has.
func TestC25AnotherJOSEImplementationReplacesAKey(t *testing.T) {
	dir := testkit.Node(t, filepath.Join("testdata", "interop"))
	w := newWorld(t)
	m := w.rollingMerchant()
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(m.Keys, &set); err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{"client": m.ID, "url": w.url + "/v1/signing-keys", "old": set.Keys[0], "iat": w.now().Unix()})
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		NewKey string `json:"new_key"`
		Kid    string
	}
	testkit.RunNode(t, dir, "rollover.mjs", input, &made)
	if got := m.sendsRollover(made.NewKey, 60); got.StatusCode != 201 {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	if got, want := m.kids(m.key), map[string]bool{m.key.ID(): true, made.Kid: false}; !maps.Equal(got, want) {
		t.Errorf("registered %v, want %v", got, want)
	}
}

// Two servers of a merchant replace the same key at once: one of them does.
func TestOfTwoRolloversOneReplacesTheKey(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *world) {
		m := w.rollingMerchant()
		m.token() // the cache is warm
		codes := make(chan int, 8)
		var wg sync.WaitGroup
		for range cap(codes) {
			next := w.newKey()
			wg.Go(func() { codes <- m.rolls(next, 60, nil).StatusCode })
		}
		wg.Wait()
		close(codes)
		done := 0
		for code := range codes {
			if code == 201 {
				done++
			} else if code != 409 {
				t.Errorf("the others get %d", code)
			}
		}
		if got := m.kids(m.key); done != 1 || len(got) != 2 {
			t.Errorf("%d replaced it, registered %v", done, got)
		}
	})
}

// C25: two keys of one name are no key set: should one ever be in the database
// neither of them signs anything.
func TestC25TwoKeysOfOneNameSignNothing(t *testing.T) {
	w := newWorld(t)
	m := w.merchant("Casino")
	forged, token := w.newKey(), m.token()
	set := bytes.ReplaceAll(jwks(t, m.key, forged), []byte(forged.ID()), []byte(m.key.ID()))
	if _, err := jose.ParseJWKS(set); err == nil {
		t.Error("it can be registered")
	}
	signed := m.signed("/v1/payments", "k", m.depositJSON())
	m.Keys = set
	m.save()
	signed.Header.Set("Authorization", "Bearer "+token)
	if got := w.send(signed); got.StatusCode != 500 || w.payments() != 0 {
		t.Errorf("an order: %d %s", got.StatusCode, got.body)
	}
	if got := w.askToken(tokenForm(m.assertion(nil))); got.StatusCode < 400 {
		t.Errorf("a token: %d", got.StatusCode)
	}
}

// C25: what our own old key signed is good until its overlap ends and no longer,
// however often it was seen before.
func TestC25TokenOfOurOldKeyEndsWithItsOverlap(t *testing.T) {
	w := newWorld(t)
	m := w.merchant("Casino")
	unseen, seen := m.token(), m.token()
	ask := func(token string) int {
		t.Helper()
		req := w.request(http.MethodGet, "/v1/payments", "")
		req.Header.Set("Authorization", "Bearer "+token)
		return w.send(req).StatusCode
	}
	if err := w.keys.Rotate(rand.Reader, w.now(), 0, time.Minute); err != nil {
		t.Fatal(err)
	}
	w.pass(59 * time.Second)
	if got := ask(seen); got != 200 {
		t.Errorf("within the overlap: %d", got)
	}
	fresh := m.token()
	w.pass(2 * time.Second)
	for name, token := range map[string]string{"seen before": seen, "never seen": unseen} {
		if got := ask(token); got != 401 {
			t.Errorf("after the overlap, %s: %d", name, got)
		}
	}
	if got := ask(fresh); got != 200 {
		t.Errorf("the new key's: %d", got)
	}
}

// C42: one of two clocks is wrong. Whatever the merchant signs by his own is
// outside the hub's window and refused, whichever of the two is ahead; nothing
// is created, and it works once they agree.
func TestC42WrongClockFailsClosed(t *testing.T) {
	w := newWorld(t)
	w.pass(60 * 24 * time.Hour) // our key is older than any of this
	m := w.merchant("Casino")
	for _, wrong := range []time.Duration{5*time.Minute + time.Second, 30 * 24 * time.Hour, -61 * time.Second, -30 * 24 * time.Hour} {
		request, form := m.signed("/v1/payments", "k", m.depositJSON()), tokenForm(m.assertion(nil))
		w.pass(wrong)
		got := w.send(request) // its token is of the wrong time, too
		if got.StatusCode != 401 {
			t.Errorf("the hub is wrong by %v: %d %s", wrong, got.StatusCode, got.body)
		}
		request.Header.Set("Authorization", "Bearer "+m.token())
		request.Body, _ = request.GetBody()
		if got = w.send(request); got.StatusCode != 401 || got.code() != "signature_iat" {
			t.Errorf("the hub is wrong by %v, with its own token: %d %s", wrong, got.StatusCode, got.body)
		}
		if got = w.askToken(form); got.StatusCode != 401 {
			t.Errorf("the hub is wrong by %v, a token: %d %s", wrong, got.StatusCode, got.body)
		}
		w.pass(-wrong)
	}
	if n := w.payments(); n != 0 {
		t.Fatalf("%d payments", n)
	}
	if got := m.post("/v1/payments", "k", m.depositJSON()); got.StatusCode != 201 {
		t.Errorf("with the right time: %d %s", got.StatusCode, got.body)
	}
}

// C42: without its database the hub takes no order and says so.
func TestC42WithoutItsDatabaseNoOrderIsTaken(t *testing.T) {
	w := newWorld(t)
	m := w.merchant("Casino")
	request := m.signed("/v1/payments", "k", m.depositJSON())
	w.db.Close()
	if got := w.send(request); got.StatusCode < 500 {
		t.Errorf("an order: %d %s", got.StatusCode, got.body)
	}
	if got := w.askToken(tokenForm(m.assertion(nil))); got.StatusCode < 500 {
		t.Errorf("a token: %d %s", got.StatusCode, got.body)
	}
}
