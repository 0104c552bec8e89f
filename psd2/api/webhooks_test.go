package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

func TestEndpointFromCreationToDeletion(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *world) {
		ctx, m := t.Context(), w.hooked("Casino")
		c := m.client()
		url, about := "https://hooks.casino.de/rialto?token=t", "Production"
		made, err := c.CreateEndpoint(ctx, apiclient.EndpointChange{URL: &url, Description: &about, Events: &[]string{"payment.*"}}, "create")
		if err != nil {
			t.Fatal(err)
		}
		if made.URL != url || made.Description != about || made.Status != "active" || len(made.Events) != 1 || len(made.Keys) != 2 ||
			!strings.HasPrefix(made.Secret, "whsec_") || !strings.HasPrefix(made.PublicKey, "whpk_") {
			t.Errorf("made %+v", made)
		}
		w.pass(time.Minute)
		paused := "paused"
		changed, err := c.ChangeEndpoint(ctx, made.ID, apiclient.EndpointChange{Status: &paused, Events: &[]string{}}, "pause")
		if err != nil || changed.Status != paused || len(changed.Events) != 0 || changed.URL != url || changed.Description != about || !changed.UpdatedAt.After(made.UpdatedAt) {
			t.Errorf("changed %+v, %v", changed, err)
		}
		if same, err := c.ChangeEndpoint(ctx, made.ID, apiclient.EndpointChange{Status: &paused}, "pause again"); problemCode(err) != "idempotency_key_invalid" {
			t.Errorf("a key with a blank: %v, %v", same, err)
		}
		disabled := "disabled"
		if off, err := c.ChangeEndpoint(ctx, made.ID, apiclient.EndpointChange{Status: &disabled}, "off"); err != nil || off.DisabledReason != "merchant" {
			t.Errorf("disabled %+v, %v", off, err)
		}
		if _, err := c.TestEndpoint(ctx, made.ID, "t"); problemCode(err) != "webhook_endpoint_disabled" {
			t.Errorf("a test of a disabled endpoint: %v", err)
		}
		elsewhere := "https://hooks.casino.de/new"
		if on, err := c.ChangeEndpoint(ctx, made.ID, apiclient.EndpointChange{URL: &elsewhere}, "move"); err != nil || on.Status != "active" || on.DisabledReason != "" {
			t.Errorf("a disabled endpoint with a new URL is %+v, %v", on, err)
		}
		second := m.endpoint("https://hooks.casino.de/second", nil)
		if list, err := c.Endpoints(ctx); err != nil || len(list) != 2 || list[0].ID != made.ID || list[1].ID != second.ID {
			t.Errorf("listed %+v, %v", list, err)
		}
		if err := c.DeleteEndpoint(ctx, made.ID, "delete"); err != nil {
			t.Fatal(err)
		}
		if err := c.DeleteEndpoint(ctx, made.ID, "delete"); err != nil {
			t.Errorf("the same deletion again: %v", err)
		}
		if err := c.DeleteEndpoint(ctx, made.ID, "delete-2"); problemCode(err) != "webhook_endpoint_not_found" {
			t.Errorf("another deletion: %v", err)
		}
		if _, err := c.Endpoint(ctx, made.ID); problemCode(err) != "webhook_endpoint_not_found" {
			t.Errorf("a deleted endpoint: %v", err)
		}
		if _, err := c.ChangeEndpoint(ctx, made.ID, apiclient.EndpointChange{URL: &url}, "revive"); problemCode(err) != "webhook_endpoint_not_found" {
			t.Errorf("a deleted endpoint is changed: %v", err)
		}
	})
}

func TestBadEndpointsAreRefused(t *testing.T) { // C31
	onDatabases(t, badEndpoints)
}

func badEndpoints(t *testing.T, w *world) {
	m := w.hooked("Casino")
	good := m.endpoint("https://hooks.casino.de/", nil)
	for _, tc := range []struct{ name, body, code, field string }{
		{"no URL", `{}`, "webhook_url_refused", "url"},
		{"plain http", `{"url":"http://hooks.casino.de/"}`, "webhook_url_refused", "url"},
		{"our network", `{"url":"https://10.0.0.1/"}`, "webhook_url_refused", "url"},
		{"cloud metadata", `{"url":"https://169.254.169.254/latest"}`, "webhook_url_refused", "url"},
		{"a number for an address", `{"url":"https://2852039166/"}`, "webhook_url_refused", "url"},
		{"user name", `{"url":"https://a:b@hooks.casino.de/"}`, "webhook_url_refused", "url"},
		{"port", `{"url":"https://hooks.casino.de:22/"}`, "webhook_url_refused", "url"},
		{"unknown type", `{"url":"https://hooks.casino.de/","events":["payment.exploded"]}`, "unknown_event_type", "events"},
		{"types without end", `{"url":"https://hooks.casino.de/","events":["payment.failed"` + strings.Repeat(`,"payment.failed"`, 50) + `]}`, "unknown_event_type", "events"},
		{"status", `{"url":"https://hooks.casino.de/","status":"deleted"}`, "status_unknown", "status"},
		{"description with NUL", `{"url":"https://hooks.casino.de/","description":"a\u0000"}`, "text_invalid", "description"},
		{"long description", `{"url":"https://hooks.casino.de/","description":"` + strings.Repeat("x", 201) + `"}`, "text_invalid", "description"},
		{"mass assignment: id", `{"url":"https://hooks.casino.de/","id":"` + good.ID + `"}`, "json_unknown_key", "id"},
		{"mass assignment: merchant", `{"url":"https://hooks.casino.de/","merchant_id":"mer_x"}`, "json_unknown_key", "merchant_id"},
		{"mass assignment: keys", `{"url":"https://hooks.casino.de/","keys":[]}`, "json_unknown_key", "keys"},
		{"mass assignment: secret", `{"url":"https://hooks.casino.de/","secret":"whsec_AAAA"}`, "json_unknown_key", "secret"},
	} {
		for _, target := range []string{"/v1/webhook-endpoints", "/v1/webhook-endpoints/" + good.ID} {
			if tc.name == "no URL" && target != "/v1/webhook-endpoints" {
				continue // changes nothing
			}
			if got := m.post(target, rand.Text(), tc.body); got.StatusCode != 400 || got.code() != tc.code || got.field() != tc.field {
				t.Errorf("%s at %s: %d %s", tc.name, target, got.StatusCode, got.body)
			}
		}
	}
	for _, overlap := range []string{"-1", "2592001"} {
		if got := m.post("/v1/webhook-endpoints/"+good.ID+"/keys", rand.Text(), `{"overlap_seconds":`+overlap+`}`); got.code() != "overlap_invalid" {
			t.Errorf("overlap %s: %d %s", overlap, got.StatusCode, got.body)
		}
	}
	for _, id := range []string{"whe_%00", "whe_'--", "whe_", "WHE_x", "%2e%2e", "pay_00000000000000000000000000"} {
		if got := m.get("/v1/webhook-endpoints/" + id); got.StatusCode != 404 {
			t.Errorf("%s: %d %s", id, got.StatusCode, got.body)
		}
		if got := m.post("/v1/webhook-endpoints/"+good.ID+"/deliveries/"+id+"/resend", rand.Text(), ""); got.StatusCode != 404 {
			t.Errorf("resend of %s: %d %s", id, got.StatusCode, got.body)
		}
	}
	if list, err := m.client().Endpoints(t.Context()); err != nil || len(list) != 1 || list[0].URL != good.URL || len(list[0].Keys) != 2 {
		t.Errorf("after all that there is %+v, %v", list, err)
	}
	for range webhooks.MaxEndpoints - 1 {
		m.endpoint("https://hooks.casino.de/", nil)
	}
	url := "https://hooks.casino.de/"
	if _, err := m.client().CreateEndpoint(t.Context(), apiclient.EndpointChange{URL: &url}, "k"); problemCode(err) != "webhook_endpoint_limit" {
		t.Errorf("one more than there may be: %v", err)
	}
}

func TestSecretsAreShownOnceAndNeedTheScope(t *testing.T) { // C35
	w := newWorld(t)
	owner, clerk := w.hooked("Casino"), w.merchant("Shop")
	sink := newSink(t)
	e := owner.endpoint(sink.URL, nil)
	rotated, err := owner.client().RotateKeys(t.Context(), e.ID, time.Hour, "rotate")
	if err != nil {
		t.Fatal(err)
	}
	if rotated.Secret == e.Secret || rotated.PublicKey == e.PublicKey {
		t.Error("the rotation has made no new keys")
	}
	test, err := owner.client().TestEndpoint(t.Context(), e.ID, "test")
	if err != nil {
		t.Fatal(err)
	}
	w.until("the test was delivered", func() bool { return len(sink.hits()) == 1 })
	base := "/v1/webhook-endpoints"
	one := base + "/" + e.ID
	for name, got := range map[string]*answer{
		"list": owner.get(base), "get": owner.get(one), "deliveries": owner.get(one + "/deliveries"),
		"change": owner.post(one, rand.Text(), `{"description":"x"}`), "resend": owner.post(one+"/deliveries/"+test.ID+"/resend", rand.Text(), ""),
	} {
		if got.StatusCode >= 300 || bytes.Contains(got.body, []byte("whsec_")) || bytes.Contains(got.body, []byte("whsk_")) {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
		if (name == "list" || name == "get") && (!bytes.Contains(got.body, []byte(e.PublicKey)) || !bytes.Contains(got.body, []byte(rotated.PublicKey))) {
			t.Errorf("%s does not show the public keys: %s", name, got.body)
		}
	}
	// The owner's own token without the scope, and a merchant who has it not.
	narrow := owner.client(func(c *apiclient.Config) { c.Scopes = []string{api.ScopePaymentsRead, api.ScopePaymentsWrite} })
	for name, c := range map[string]*apiclient.Client{"narrow token": narrow, "other merchant": clerk.client()} {
		_, rotation := c.RotateKeys(t.Context(), e.ID, 0, rand.Text())
		_, creation := c.CreateEndpoint(t.Context(), apiclient.EndpointChange{URL: &sink.URL}, rand.Text())
		_, change := c.ChangeEndpoint(t.Context(), e.ID, apiclient.EndpointChange{URL: &sink.URL}, rand.Text())
		_, reading := c.Endpoints(t.Context())
		_, log := c.Deliveries(t.Context(), e.ID, "", 10)
		_, testing := c.TestEndpoint(t.Context(), e.ID, rand.Text())
		_, resending := c.Resend(t.Context(), e.ID, test.ID, rand.Text())
		for _, err := range []error{rotation, creation, change, reading, log, testing, resending, c.DeleteEndpoint(t.Context(), e.ID, rand.Text())} {
			if problemCode(err) != "insufficient_scope" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// A token alone, without the signing key, changes nothing either.
	for _, method := range []string{http.MethodPost, http.MethodDelete} {
		got := w.send(owner.order(method, one, rand.Text(), "", func(r *http.Request) { r.Header.Del(jose.HeaderSignature) }))
		if got.code() != "signature_missing" {
			t.Errorf("%s unsigned: %d %s", method, got.StatusCode, got.body)
		}
	}
	if got := w.send(owner.order(http.MethodDelete, one, "k", "", func(r *http.Request) { r.Header.Del("Idempotency-Key") })); got.code() != "idempotency_key_missing" {
		t.Errorf("a deletion without a key: %d %s", got.StatusCode, got.body)
	}
	if now, err := owner.client().Endpoint(t.Context(), e.ID); err != nil || len(now.Keys) != 4 {
		t.Errorf("after all that it is %+v, %v", now, err)
	}
	for _, secret := range []string{"whsec_", "whsk_", e.Secret, rotated.Secret, strings.TrimPrefix(e.Secret, "whsec_"), sink.URL} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	atRest(t, w, e.Secret, rotated.Secret)
}

// atRest looks for secrets in the tables that hold endpoints and answers.
func atRest(t *testing.T, w *world, secrets ...string) {
	t.Helper()
	var blobs [][]byte
	err := w.db.Select(t.Context(), &blobs, `SELECT sealed FROM webhook_endpoints UNION ALL SELECT sealed FROM idempotency`)
	if err != nil || len(blobs) < 3 {
		t.Fatal(len(blobs), err)
	}
	for _, blob := range blobs {
		for _, secret := range secrets {
			if bytes.Contains(blob, []byte(secret)) {
				t.Error("a secret is in the database as it is")
			}
		}
	}
}

func TestLostAnswerIsGivenAgainWithItsSecret(t *testing.T) { // C07
	onDatabases(t, func(t *testing.T, w *world) {
		m, other := w.hooked("Casino"), w.hooked("Shop")
		body := `{"url":"https://hooks.casino.de/"}`
		first, again := m.post("/v1/webhook-endpoints", "k", body), m.post("/v1/webhook-endpoints", "k", body)
		if first.StatusCode != 201 || again.StatusCode != 201 || !bytes.Equal(first.body, again.body) || again.Header.Get("Idempotent-Replayed") != "true" ||
			again.Header.Get("Location") != first.Header.Get("Location") {
			t.Errorf("%d %s, then %d %s", first.StatusCode, first.body, again.StatusCode, again.body)
		}
		if got := other.post("/v1/webhook-endpoints", "k", body); got.StatusCode != 201 || bytes.Equal(got.body, first.body) {
			t.Errorf("another merchant with the same key gets %d %s", got.StatusCode, got.body)
		}
		if got := m.post("/v1/webhook-endpoints", "k", `{"url":"https://hooks.casino.de/2"}`); got.code() != "idempotency_key_reused" {
			t.Errorf("another body: %d %s", got.StatusCode, got.body)
		}
		var made struct{ ID, Secret string }
		if err := json.Unmarshal(first.body, &made); err != nil {
			t.Fatal(err)
		}
		keys := "/v1/webhook-endpoints/" + made.ID + "/keys"
		one, two := m.post(keys, "r", ""), m.post(keys, "r", "")
		if one.StatusCode != 201 || !bytes.Equal(one.body, two.body) {
			t.Errorf("%d %s, then %d %s", one.StatusCode, one.body, two.StatusCode, two.body)
		}
		if e, err := m.client().Endpoint(t.Context(), made.ID); err != nil || len(e.Keys) != 4 {
			t.Errorf("two requests with one key have left %d keys, %v", len(e.Keys), err)
		}
		if list, err := m.client().Endpoints(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("%d endpoints, %v", len(list), err)
		}
	})
}

func TestParallelRotationsLoseNoKey(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *world) {
		m := w.hooked("Casino")
		e := m.endpoint("https://hooks.casino.de/", nil)
		c := m.client()
		made := make(chan *apiclient.Endpoint, 4)
		var group sync.WaitGroup
		for range cap(made) {
			group.Go(func() {
				r, err := c.RotateKeys(context.Background(), e.ID, time.Hour, rand.Text())
				if err != nil {
					t.Error(err)
					return
				}
				made <- r
			})
		}
		group.Wait()
		close(made)
		now, err := c.Endpoint(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		public := map[string]bool{}
		for _, k := range now.Keys {
			public[k.PublicKey] = true
		}
		for r := range made {
			if !public[r.PublicKey] {
				t.Errorf("a key that was given out is gone: %+v", now.Keys)
			}
		}
		if len(now.Keys) != 10 {
			t.Errorf("%d keys, want 10", len(now.Keys))
		}
		if _, err := c.RotateKeys(t.Context(), e.ID, time.Hour, "eleven"); problemCode(err) != "webhook_key_limit" {
			t.Errorf("more than ten keys: %v", err)
		}
		if r, err := c.RotateKeys(t.Context(), e.ID, 0, "at-once"); err != nil || len(r.Keys) != 2 {
			t.Errorf("without overlap: %+v, %v", r, err)
		}
	})
}

func TestRotatedKeysSignInOverlap(t *testing.T) {
	w := newWorld(t)
	m, sink := w.hooked("Casino"), newSink(t)
	c := m.client()
	e := m.endpoint(sink.URL, []string{"payment.settled"})
	deliver := func(key string) hit {
		t.Helper()
		before := len(sink.hits())
		w.pass(time.Second) // the list is by event, and events of one moment are in no order
		d, err := c.TestEndpoint(t.Context(), e.ID, key)
		if err != nil || d.Status != "pending" || d.Type != psd2.EventWebhookTest {
			t.Fatal(d, err)
		}
		w.until("delivered", func() bool {
			list, err := c.Deliveries(t.Context(), e.ID, "", 1)
			return err == nil && list.Data[0].ID == d.ID && list.Data[0].Status == "delivered"
		})
		return sink.hits()[before]
	}
	check := func(name string, h hit, good, bad []string) {
		t.Helper()
		for _, key := range good {
			if err := w.believed(key, h); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, key := range bad {
			if err := w.believed(key, h); err == nil {
				t.Errorf("%s: an expired or future key signs", name)
			}
		}
	}
	old := []string{e.Secret, e.PublicKey}
	first := deliver("first")
	check("before", first, old, nil)
	if !bytes.Contains(first.body, []byte(`"data":{"webhook_endpoint_id":"`+e.ID+`"}`)) {
		t.Errorf("the test says %s", first.body)
	}
	rotated, err := c.RotateKeys(t.Context(), e.ID, time.Hour, "rotate")
	if err != nil {
		t.Fatal(err)
	}
	fresh := []string{rotated.Secret, rotated.PublicKey}
	check("earlier delivery", first, old, fresh)
	check("overlap", deliver("second"), append(old, fresh...), nil)
	w.pass(time.Hour)
	check("after", deliver("third"), fresh, old)
	if now, err := c.Endpoint(t.Context(), e.ID); err != nil || len(now.Keys) != 2 || now.Keys[1].PublicKey != rotated.PublicKey {
		t.Errorf("after the overlap it has %+v, %v", now, err)
	}
}

func TestRefusedChangeIsNotHalfDone(t *testing.T) {
	w := newWorld(t)
	m := w.hooked("Casino")
	e := m.endpoint("https://hooks.casino.de/", nil)
	// Answer and change are one commit: without the one there is not the other.
	if err := w.db.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`CREATE TRIGGER no_answer BEFORE UPDATE ON idempotency BEGIN SELECT RAISE(ABORT, 'full'); END`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	one := "/v1/webhook-endpoints/" + e.ID
	for _, req := range []*http.Request{
		m.order(http.MethodPost, "/v1/webhook-endpoints", "a", `{"url":"https://hooks.casino.de/2"}`), m.order(http.MethodPost, one, "b", `{"status":"paused"}`),
		m.order(http.MethodPost, one+"/keys", "c", ""), m.order(http.MethodPost, one+"/test", "d", ""), m.order(http.MethodDelete, one, "e", ""),
	} {
		if got := w.send(req); got.StatusCode != 500 {
			t.Errorf("%s %s: %d", req.Method, req.URL.Path, got.StatusCode)
		}
	}
	list, err := m.client().Endpoints(t.Context())
	if err != nil || len(list) != 1 || list[0].Status != "active" || len(list[0].Keys) != 2 {
		t.Errorf("left behind %+v, %v", list, err)
	}
	if d, err := m.client().Deliveries(t.Context(), e.ID, "", 10); err != nil || len(d.Data) != 0 {
		t.Errorf("deliveries left behind: %+v, %v", d, err)
	}
}
