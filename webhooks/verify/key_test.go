package verify_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/webhooks/verify"
)

func TestKeysHaveTheFormOfStandardWebhooks(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	seeded := ed25519Key(t)
	mixed := append(bytes.Clone(seeded[:32]), ed25519Key(t)[32:]...)
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"secret of 24 bytes":    {"whsec_" + b64(make([]byte, 24)), true},
		"secret of 64 bytes":    {"whsec_" + b64(make([]byte, 64)), true},
		"secret of 23 bytes":    {"whsec_" + b64(make([]byte, 23)), false},
		"secret of 65 bytes":    {"whsec_" + b64(make([]byte, 65)), false},
		"secret without prefix": {b64(make([]byte, 32)), false},
		"secret with newline":   {"whsec_" + b64(make([]byte, 24)) + "\n", false},
		"empty secret":          {"whsec_", false},
		"public as secret":      {"whpk_" + b64(seeded[32:]), false},
		"seed":                  {"whsk_" + b64(seeded[:32]), true},
		"seed and public":       {"whsk_" + b64(seeded), true},
		"halves of two keys":    {"whsk_" + b64(mixed), false},
		"private of 31 bytes":   {"whsk_" + b64(seeded[:31]), false},
		"public":                {"whpk_" + b64(seeded[32:]), true},
		"public of 31 bytes":    {"whpk_" + b64(seeded[33:]), false},
		"public not base64":     {"whpk_*", false},
	} {
		var err error
		switch {
		case strings.HasPrefix(c.text, "whsk_"):
			_, err = verify.ParseSigningKey(c.text)
		case strings.HasPrefix(c.text, "whpk_") && name != "public as secret":
			_, err = verify.ParsePublicKey(c.text)
		default:
			_, err = verify.ParseSecret(c.text)
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysSurviveTheirTextForm(t *testing.T) {
	hub := newSender(t)
	secret, err := verify.ParseSecret(hub.secret.Reveal())
	if err != nil || verify.SignV1(secret, "a", noon, nil) != verify.SignV1(hub.secret, "a", noon, nil) {
		t.Fatal(err)
	}
	key, err := verify.ParseSigningKey(hub.signing.Reveal())
	if err != nil || key.Public().String() != hub.signing.Public().String() || verify.SignV1a(key, "a", noon, nil) != verify.SignV1a(hub.signing, "a", noon, nil) {
		t.Fatal(err)
	}
	if other, err := verify.GenerateSecret(rand.Reader); err != nil || other.Reveal() == hub.secret.Reveal() {
		t.Fatalf("two secrets are the same, %v", err)
	}
	if _, err := verify.GenerateSecret(bytes.NewReader(nil)); err == nil {
		t.Fatal("a secret was made without randomness")
	}
}

func TestSecretsDoNotPrintThemselves(t *testing.T) {
	hub := newSender(t)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("keys", "secret", hub.secret, "key", hub.signing)
	shown := fmt.Sprintf("%v %+v %#v %s %v %+v %#v %s", hub.secret, hub.secret, hub.secret, hub.secret, hub.signing, hub.signing, hub.signing, hub.signing) + log.String()
	for _, secret := range []string{hub.secret.Reveal(), hub.signing.Reveal()} {
		if _, encoded, _ := strings.Cut(secret, "_"); strings.Contains(shown, encoded) {
			t.Fatalf("printed %s", shown)
		}
	}
	if _, err := verify.New(verify.Config{Secrets: []string{hub.secret.Reveal() + "!"}}); err == nil || strings.Contains(err.Error(), hub.secret.Reveal()) {
		t.Fatalf("a bad secret gives %v", err)
	}
}
