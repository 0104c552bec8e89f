package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// TestDepositOnSharedPostgresAndNATS: the same deposit as in the demo, on
// PostgreSQL and a NATS server outside the process: with one hub that does
// everything, and with two that share the work and nothing else.
func TestDepositOnSharedPostgresAndNATS(t *testing.T) {
	t.Parallel()
	t.Run("one process", func(t *testing.T) {
		t.Parallel()
		b, shared := startBank(t), sharedParts(t)
		h := startHub(t, hubConfig(t, b, shared), nil)
		depositAndVerify(t, b, h, h)
	})
	t.Run("two processes", func(t *testing.T) {
		t.Parallel()
		b, shared := startBank(t), sharedParts(t)
		shared += "signing_keys_file: " + filepath.Join(t.TempDir(), "signing-keys.json") + "\n"
		front := startHub(t, hubConfig(t, b, shared+"roles: [api, pages]\n"), nil)
		back := startHub(t, hubConfig(t, b, shared+"roles: [sequencer, relay, follow, webhooks]\n"), nil)
		if front.OpsURL != "" || back.PublicURL != "" || back.OpsURL != "" {
			t.Errorf("a process listens for what it does not do: %q %q %q", front.OpsURL, back.PublicURL, back.OpsURL)
		}
		depositAndVerify(t, b, front, back)
	})
}

// sharedParts starts a NATS server and finds a database; it returns their part
// of a configuration.
func sharedParts(t *testing.T) string {
	t.Helper()
	db := testkit.PostgresConfig(t)
	server, err := bus.StartServer(bus.ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return fmt.Sprintf("database: {url: %q, key_file: %s}\nnats: {url: %q}\n", db.URL, db.KeyFile, server.URL())
}

// depositAndVerify pays at one hub's page and holds all that another hub
// delivers against each of the three signatures.
func depositAndVerify(t *testing.T, b *bankServer, front, back *run.Hub) {
	t.Helper()
	s := openShop(t, front, front.PublicURL, "hook", nil)
	anna, err := b.Operator.Persona(t.Context(), "sandbank", "anna")
	if err != nil {
		t.Fatal(err)
	}
	p := s.create(t, s.deposit("Anna Beispiel"))
	if r := payAt(t, p.HostedPage.URL, anna, psu.Wish{}, nil); r.Situation != "arrived" && r.Situation != "paid" {
		t.Errorf("the payer sees %q", r.Situation)
	}
	got := s.await(t, p.ID, psd2.EventCreditable)
	if v, err := s.Client.Get(t.Context(), p.ID); err != nil || v.Status != psd2.StateSettled {
		t.Errorf("%+v, %v", v, err)
	}
	types := map[string]int{}
	for _, v := range s.verifiers(t, front.PublicURL) {
		for _, d := range got {
			e, err := v.Verify(d.Header, d.Body, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			types[e.Type]++
			if _, err := v.Verify(d.Header, changed(d.Body), time.Now()); err == nil {
				t.Error("one byte was changed, and nobody noticed")
			}
		}
	}
	for _, want := range []string{psd2.EventAuthorized, psd2.EventExecuted, psd2.EventSettled, psd2.EventCreditable} {
		if types[want] != 3 {
			t.Errorf("%s came or verified %d times, want once by each of three signatures", want, types[want])
		}
	}
	if now, err := back.Store.Payment(t.Context(), p.ID); err != nil || now.State != psd2.StateSettled {
		t.Errorf("the other process sees %+v, %v", now, err)
	}
}

// verifiers are three receivers, each of which knows one kind of key only. The
// JWKS is the published one.
func (s *shop) verifiers(t *testing.T, hubURL string) (list [3]*verify.Verifier) {
	t.Helper()
	secret, _, public := s.secrets(t)
	for i, c := range []verify.Config{{Secrets: []string{secret}}, {PublicKeys: []string{public}}, {JWKS: publishedKeys(t, hubURL)}} {
		v, err := verify.New(c)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = v
	}
	return list
}

func publishedKeys(t *testing.T, hubURL string) []byte {
	t.Helper()
	res, err := http.Get(hubURL + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("jwks: %d %v", res.StatusCode, err)
	}
	return body
}

// changed is a body with one byte changed: the last digit of the amount.
func changed(body []byte) []byte {
	return bytes.Replace(body, []byte(`"amount_minor":2500`), []byte(`"amount_minor":2501`), 1)
}

// TestNodeReceiversTakeWhatTheHubSends: C34. The npm packages standardwebhooks
// and jose accept deliveries captured from a running hub, and refuse them with
// one byte changed.
func TestNodeReceiversTakeWhatTheHubSends(t *testing.T) {
	t.Parallel()
	dir := testkit.Node(t, filepath.Join(testkit.Root(t), "webhooks", "verify", "testdata", "interop"))
	b := startBank(t)
	h := startHub(t, hubConfig(t, b, ""), nil)
	s := openShop(t, h, h.PublicURL, "hook", nil)
	anna, err := b.Operator.Persona(t.Context(), "sandbank", "anna")
	if err != nil {
		t.Fatal(err)
	}
	p := s.create(t, s.deposit("Anna Beispiel"))
	payAt(t, p.HostedPage.URL, anna, psu.Wish{}, nil)

	type wire struct {
		ID        string `json:"id"`
		Timestamp string `json:"timestamp"`
		Signature string `json:"signature"`
		JWS       string `json:"jws"`
		Body      []byte `json:"body"`
	}
	var list []wire
	for _, d := range s.await(t, p.ID, psd2.EventCreditable) {
		w := wire{d.Header.Get(verify.HeaderID), d.Header.Get(verify.HeaderTimestamp), d.Header.Get(verify.HeaderSignature), d.Header.Get(verify.HeaderJWS), d.Body}
		forged := w
		if forged.Body = changed(d.Body); bytes.Equal(forged.Body, w.Body) {
			t.Fatalf("nothing to change in %s", d.Body)
		}
		list = append(list, w, forged)
	}
	secret, _, public := s.secrets(t)
	theirPublic, theirPrivate, err := ed25519.GenerateKey(randomness) // the script also signs; that is judged beside verify
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{
		"secret": secret, "publicKey": public, "jwks": json.RawMessage(publishedKeys(t, h.PublicURL)), "deliveries": list,
		"theirs": map[string]string{"d": base64.RawURLEncoding.EncodeToString(theirPrivate.Seed()), "x": base64.RawURLEncoding.EncodeToString(theirPublic)},
	})
	if err != nil {
		t.Fatal(err)
	}
	var output struct {
		Results []struct{ V1, V1a, JWS bool }
	}
	testkit.RunNode(t, dir, "receiver.mjs", input, &output)
	if len(output.Results) != len(list) || len(list) < 8 {
		t.Fatalf("%d results of %d", len(output.Results), len(list))
	}
	for i, got := range output.Results {
		if want := i%2 == 0; got.V1 != want || got.V1a != want || got.JWS != want {
			t.Errorf("delivery %d: %+v, want all %v", i/2, got, want)
		}
	}
}
