package api_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
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
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

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

// elsewhere changes a merchant's row as another process does: this one has not
// heard of it.
func (m *merchant) elsewhere(change func(*psd2.Merchant)) {
	m.w.t.Helper()
	before, err := m.w.db.Merchant(m.w.t.Context(), m.ID)
	if err != nil {
		m.w.t.Fatal(err)
	}
	changed := *before
	change(&changed)
	doc, err := json.Marshal(&changed)
	if err != nil {
		m.w.t.Fatal(err)
	}
	err = m.w.db.Tx(m.w.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE merchants SET sealed = ? WHERE id = ?`, m.w.db.SealShared("merchants", m.ID, "sealed", doc), m.ID)
		return err
	})
	if err != nil {
		m.w.t.Fatal(err)
	}
}

// named is a new key of that name.
func (w *world) named(kid string) *jose.Key {
	w.t.Helper()
	raw, err := w.newKey().MarshalJWK()
	if err != nil {
		w.t.Fatal(err)
	}
	var jwk map[string]any
	if err := json.Unmarshal(raw, &jwk); err != nil {
		w.t.Fatal(err)
	}
	jwk["kid"] = kid
	if raw, err = json.Marshal(jwk); err != nil {
		w.t.Fatal(err)
	}
	key, err := jose.ParseKey(raw)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

// C25: a stolen key was taken out and another of the same name registered. At a
// process that has not heard of it its thief does not replace the new one.
func TestC25ThiefOfAKeyThatWasTakenOutReplacesNoNamesake(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *world) {
		m := w.rollingMerchant()
		stolen, fresh, thief := m.with(w.named("main")), w.named("main"), w.newKey()
		stolen.registers(stolen.key)
		token := stolen.token()
		m.elsewhere(func(p *psd2.Merchant) { p.Keys = jwks(t, fresh) })
		inner, err := jose.SignRollover(thief, jose.RolloverRequest{ClientID: m.ID, URL: w.url + "/v1/signing-keys", Replaces: fresh.Public().Thumbprint()}, w.now())
		if err != nil {
			t.Fatal(err)
		}
		got := w.send(stolen.orderWith(token, http.MethodPost, "/v1/signing-keys", rand.Text(), fmt.Sprintf(`{"new_key":%q,"overlap_seconds":0}`, inner)))
		if got.StatusCode != 401 || got.code() != "signature_kid" {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
		w.pass(6 * time.Second)
		for name, c := range map[string]struct {
			key  *jose.Key
			want int
		}{"the owner's": {fresh, 200}, "the thief's": {thief, 401}} {
			if got := w.askToken(tokenForm(m.with(c.key).assertion(nil))); got.StatusCode != c.want {
				t.Errorf("a token for %s key: %d", name, got.StatusCode)
			}
		}
	})
}

// C25: a key leaks while its overlap runs. Whoever replaces its successor at once
// ends it, too.
func TestC25OverlapIsCutShort(t *testing.T) {
	w := newWorld(t)
	m := w.rollingMerchant()
	leaked, second, third := m.key, w.newKey(), w.newKey()
	if got := m.rolls(second, 2592000, nil); got.StatusCode != 201 {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	if got := m.with(second).rolls(third, 60, nil); got.StatusCode != 201 {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	w.pass(61 * time.Second)
	if got := m.kids(third); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
	if got := w.askToken(tokenForm(m.with(leaked).assertion(nil))); got.StatusCode != 401 {
		t.Errorf("a token for the leaked key: %d %s", got.StatusCode, got.body)
	}
}

// The row's ends count at once where they are read, though its keys are known.
func TestEndOfAKnownKeyChanges(t *testing.T) {
	w := newWorld(t)
	m := w.rollingMerchant()
	m.rolls(w.newKey(), 2592000, nil)
	m.kids(m.key)
	m.elsewhere(func(p *psd2.Merchant) { p.KeyHistory.Ends = map[string]time.Time{m.key.ID(): w.now().Add(time.Hour)} })
	w.pass(2 * time.Hour)
	if got := w.askToken(tokenForm(m.assertion(nil))); got.StatusCode != 401 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

// Ten keys count at a time; with ten, one is still replaced at once. So often in
// an hour, and no more: each is a letter.
func TestRolloversAreBounded(t *testing.T) {
	w := newWorld(t)
	now := w.rollingMerchant()
	rolls := func(overlap int) *answer {
		t.Helper()
		next := w.newKey()
		got := now.rolls(next, overlap, nil)
		if got.StatusCode == 201 {
			now = now.with(next)
		}
		return got
	}
	for i := range 9 {
		if got := rolls(2592000); got.StatusCode != 201 {
			t.Fatalf("%d: %d %s", i, got.StatusCode, got.body)
		}
	}
	if got := rolls(60); got.StatusCode != 409 || got.code() != "signing_keys_full" {
		t.Errorf("an eleventh: %d %s", got.StatusCode, got.body)
	}
	if got := rolls(0); got.StatusCode != 429 || got.Header.Get("Retry-After") == "" {
		t.Errorf("an eleventh time: %d %s", got.StatusCode, got.body)
	}
	w.pass(time.Hour)
	if got := rolls(0); got.StatusCode != 201 || len(now.kids(now.key)) != 1 {
		t.Errorf("an hour later, at once: %d %s, %v left", got.StatusCode, got.body, now.kids(now.key))
	}
}

// lossy loses the answer to the first POST to a path.
type lossy struct {
	http.RoundTripper
	path string
	lost bool
}

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.RoundTripper.RoundTrip(r)
	if err == nil && r.Method == http.MethodPost && r.URL.Path == l.path && !l.lost {
		l.lost = true
		_ = res.Body.Close()
		return nil, errors.New("the answer was lost")
	}
	return res, err
}

// Whose answer was lost has the new key all the same, and asking again harms
// nothing; whose key was refused keeps the old one.
func TestClientKnowsWhichOfItsKeysCounts(t *testing.T) {
	w := newWorld(t)
	m := w.rollingMerchant()
	client := m.client(func(c *apiclient.Config) {
		h := *c.HTTP
		h.Transport = &lossy{RoundTripper: h.Transport, path: "/v1/signing-keys"}
		c.HTTP = &h
	})
	next := w.newKey()
	for range 2 {
		if list, err := client.ReplaceKey(t.Context(), next, 0, "roll"); err != nil || len(list.Data) != 1 || list.Data[0].ID != next.ID() {
			t.Errorf("%+v %v", list, err)
		}
	}
	var p *apiclient.Problem
	if _, err := client.ReplaceKey(t.Context(), m.key, 0, "back"); !errors.As(err, &p) || p.Code != "signing_key_known" {
		t.Errorf("back to the old key: %v", err)
	}
	if _, err := client.Create(t.Context(), m.deposit(), rand.Text()); err != nil {
		t.Error(err)
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
