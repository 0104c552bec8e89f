package api_test

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
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
