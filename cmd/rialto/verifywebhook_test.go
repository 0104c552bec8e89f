package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/webhooks/verify"
)

// TestVerifyWebhookSaysWhy: C34. Each way in which a delivery goes bad between
// us and a receiver has its own answer.
func TestVerifyWebhookSaysWhy(t *testing.T) {
	dir := t.TempDir()
	secret, err := verify.GenerateSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := verify.GenerateSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ours, theirs := file("ours", secret.Reveal()+"\n"), file("theirs", other.Reveal())
	const body = `{"id":"evt_1","type":"payment.failed","created_at":"2026-11-20T10:00:00.000Z","sequence":1,"data":{"payment":{"reference":"Gr\u00f6\u00dfe"}}}`
	sent := strings.NewReplacer(`\u00f6`, "ö", `\u00df`, "ß").Replace(body)
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	recorded := func(got string) string {
		return "POST /hook HTTP/1.1\r\nHost: casino.example\r\nwebhook-id: evt_1\r\nwebhook-timestamp: " + strconv.FormatInt(now.Unix(), 10) +
			"\r\nwebhook-signature: " + verify.SignV1(secret, "evt_1", now, []byte(sent)) + "\r\n\r\n" + got
	}
	whole := file("whole", recorded(sent))
	for name, c := range map[string]struct {
		args   []string
		code   int
		reason string
		detail string
	}{
		"good":                {[]string{"--secret-file", ours, whole}, 0, "", "good"},
		"only headers":        {[]string{"--secret-file", ours, "--body", file("raw", sent), file("headers", strings.TrimSuffix(recorded(""), "\r\n"))}, 0, "", "good"},
		"another secret":      {[]string{"--secret-file", theirs, whole}, 1, "signature", "wrong secret"},
		"no key of the kind":  {[]string{"--public-key", publicKey(t), whole}, 1, "key", "v1"},
		"late":                {[]string{"--secret-file", ours, "--at", "2026-11-20T10:06:00Z", whole}, 1, "clock", "the signature itself is good"},
		"late and forged":     {[]string{"--secret-file", theirs, "--at", "2026-11-20T10:06:00Z", whole}, 1, "clock", "besides"},
		"written anew":        {[]string{"--secret-file", ours, file("python", recorded(strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(body)))}, 1, "body", "reformatted"},
		"changed":             {[]string{"--secret-file", ours, file("changed", recorded(strings.Replace(sent, "failed", "settled", 1)))}, 1, "signature", "no signature matches"},
		"header lost":         {[]string{"--secret-file", ours, file("lost", strings.Replace(recorded(sent), "webhook-id", "x-id", 1))}, 1, "header", "webhook-id"},
		"header in the wrong": {[]string{"--secret-file", ours, "--at", "10 o'clock", whole}, 2, "", ""},
	} {
		args := c.args
		if !strings.Contains(strings.Join(args, " "), "--at") {
			args = append([]string{"--at", now.Format(time.RFC3339)}, args...)
		}
		var out, words bytes.Buffer
		code := dispatch(env{t.Context(), &out, &words}, append([]string{"verify", "webhook", "--json"}, args...))
		var v webhookVerdict
		if code != c.code || code != 2 && json.Unmarshal(out.Bytes(), &v) != nil {
			t.Errorf("%s: exit %d, %s%s", name, code, out.Bytes(), words.Bytes())
			continue
		}
		if v.Reason != c.reason || !strings.Contains(v.Detail, c.detail) || v.Valid != (c.code == 0) {
			t.Errorf("%s: %+v", name, v)
		}
		if strings.Contains(out.String()+words.String(), secret.Reveal()) {
			t.Errorf("%s: the secret is printed", name)
		}
	}
}

func publicKey(t *testing.T) string {
	t.Helper()
	key, err := verify.GenerateSigningKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key.Public().String()
}

// TestRebuildStreamBringsEverythingBack: with the whole directory of the
// stream gone, the command makes it from the journal.
func TestRebuildStreamBringsEverythingBack(t *testing.T) {
	b := startBank(t)
	cfg := hubConfig(t, b, "")
	h := startHub(t, cfg, nil)
	s := openShop(t, h, h.PublicURL, "hook", nil)
	for range 3 {
		s.create(t, s.deposit("Anna Beispiel"))
	}
	last, err := h.Store.LastPosition(t.Context())
	for deadline := time.After(20 * time.Second); err == nil && last < 3; last, err = h.Store.LastPosition(t.Context()) {
		select {
		case <-deadline:
			t.Fatal("the events never got a position")
		case <-time.After(5 * time.Millisecond): // another goroutine's turn
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hub.yaml")
	if err := os.WriteFile(path, []byte("sandbox: true\ndata_dir: "+cfg.DataDir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(cfg.NATS.Dir); err != nil || cfg.NATS.Dir == "" {
		t.Fatalf("%q, %v", cfg.NATS.Dir, err)
	}
	var out, words bytes.Buffer
	if code := dispatch(env{t.Context(), &out, &words}, []string{"rebuild-stream", "--config", path, "--json"}); code != 0 {
		t.Fatalf("exit %d: %s", code, words.String())
	}
	var r struct{ Published int64 }
	if json.Unmarshal(out.Bytes(), &r) != nil || r.Published != last {
		t.Errorf("%s, want %d", out.Bytes(), last)
	}
	if code := dispatch(env{t.Context(), &out, &words}, []string{"rebuild-stream", "--config", path, "--after", "-1"}); code != 2 {
		t.Errorf("a negative position: exit %d", code)
	}
}
