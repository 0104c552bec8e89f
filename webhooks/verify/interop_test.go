package verify_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/webhooks/verify"
)

type wireDelivery struct {
	ID        string `json:"id"`
	Timestamp string `json:"timestamp"`
	Signature string `json:"signature"`
	JWS       string `json:"jws"`
	Body      []byte `json:"body"`
}

// TestOtherPeoplesReceiversAgree gives our deliveries, whole and altered, to
// the npm packages standardwebhooks and jose, and theirs to our Verifier.
func TestOtherPeoplesReceiversAgree(t *testing.T) {
	dir := installNode(t, "testdata/interop")
	hub, now := newSender(t), time.Now().Truncate(time.Second) // standardwebhooks takes no clock
	seed := ed25519Key(t)
	deliver := func(alter func(*wireDelivery)) wireDelivery {
		header := hub.deliver(t, "evt_1", now, []byte(eventBody))
		d := wireDelivery{
			ID: "evt_1", Timestamp: header.Get(verify.HeaderTimestamp), Signature: header.Get(verify.HeaderSignature),
			JWS: header.Get(verify.HeaderJWS), Body: []byte(eventBody),
		}
		if alter != nil {
			alter(&d)
		}
		return d
	}
	deliveries := []wireDelivery{
		deliver(nil),
		deliver(func(d *wireDelivery) { d.Body = bytes.Replace(d.Body, []byte("pay_1"), []byte("pay_2"), 1) }),
		deliver(func(d *wireDelivery) { d.ID = "evt_2" }),
		deliver(func(d *wireDelivery) { d.Timestamp = fmt.Sprint(now.Unix() - 1) }),
		deliver(func(d *wireDelivery) { d.Body = append(d.Body, '\n') }),
	}
	input, err := json.Marshal(map[string]any{
		"secret": hub.secret.Reveal(), "publicKey": hub.signing.Public().String(), "jwks": json.RawMessage(hub.jwks(t)), "deliveries": deliveries,
		"theirs": map[string]string{"d": base64.RawURLEncoding.EncodeToString(seed[:32]), "x": base64.RawURLEncoding.EncodeToString(seed[32:])},
	})
	if err != nil {
		t.Fatal(err)
	}
	var output struct {
		Results []struct{ V1, V1a, JWS bool }
		Ours    struct {
			V1, V1a, JWS string
			JWKS         json.RawMessage
		}
	}
	runNode(t, dir, "receiver.mjs", input, &output)

	if len(output.Results) != len(deliveries) {
		t.Fatalf("%d results", len(output.Results))
	}
	for i, got := range output.Results {
		if want := i == 0; got.V1 != want || got.V1a != want || got.JWS != want {
			t.Errorf("delivery %d: %+v, want all %v", i, got, want)
		}
	}
	for scheme, c := range map[string]struct {
		header, value string
		config        verify.Config
	}{
		"v1":  {verify.HeaderSignature, output.Ours.V1, verify.Config{Secrets: []string{hub.secret.Reveal()}}},
		"v1a": {verify.HeaderSignature, output.Ours.V1a, verify.Config{PublicKeys: []string{"whpk_" + base64.StdEncoding.EncodeToString(seed[32:])}}},
		"jws": {verify.HeaderJWS, output.Ours.JWS, verify.Config{JWKS: output.Ours.JWKS}},
	} {
		header := http.Header{}
		header.Set(verify.HeaderID, "evt_1")
		header.Set(verify.HeaderTimestamp, fmt.Sprint(now.Unix()))
		header.Set(c.header, c.value)
		receiver := verifier(t, c.config)
		if _, err := receiver.Verify(header, []byte(eventBody), now); err != nil {
			t.Errorf("%s signed on Node: %v", scheme, err)
		}
		_, err := receiver.Verify(header, []byte(strings.Replace(eventBody, "pay_1", "pay_2", 1)), now)
		wantReason(t, err, verify.ReasonSignature)
	}
}

// installNode puts the pinned packages of a folder into the user's cache, once
// per version, and returns a folder from which its scripts find them.
func installNode(t *testing.T, source string) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, tool+" is not installed")
		}
	}
	manifest, err := os.ReadFile(filepath.Join(source, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		missing(t, "there is no cache folder: "+err.Error())
	}
	sum := sha256.Sum256(manifest)
	dir := filepath.Join(cache, "rialto", "node-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err != nil {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		fresh, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(fresh)
		if err := os.WriteFile(filepath.Join(fresh, "package.json"), manifest, 0o644); err != nil {
			t.Fatal(err)
		}
		install := exec.Command("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
		install.Dir = fresh
		if out, err := install.CombinedOutput(); err != nil {
			missing(t, "npm install failed: "+err.Error()+"\n"+string(out))
		}
		// Another test process may have been faster; then its folder serves.
		if err := os.Rename(fresh, dir); err != nil {
			if _, other := os.Stat(dir); other != nil {
				t.Fatal(err)
			}
		}
	}
	// Modules are found from where a script lies, so the scripts go beside a
	// link to the installed packages.
	work := t.TempDir()
	if err := os.CopyFS(work, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "node_modules"), filepath.Join(work, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return work
}

func runNode(t *testing.T, dir, script string, input []byte, output any) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	node := exec.Command("node", script)
	node.Dir, node.Stdin, node.Stdout, node.Stderr = dir, bytes.NewReader(input), &stdout, &stderr
	if err := node.Run(); err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), output); err != nil {
		t.Fatalf("node wrote %s: %v", stdout.String(), err)
	}
}

// missing skips a test whose tool is not there, or fails it where tools are required.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("RIALTO_REQUIRE_TOOLS") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}
