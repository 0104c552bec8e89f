package jose_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
)

func newKeySet(t *testing.T, algs ...jose.Algorithm) *jose.KeySet {
	t.Helper()
	set, err := jose.NewKeySet(rand.Reader, noon, algs...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func signer(t *testing.T, set *jose.KeySet, alg jose.Algorithm, now time.Time) *jose.Key {
	t.Helper()
	key, err := set.Signer(alg, now)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRotationNeverLeavesASignatureUnverifiable(t *testing.T) {
	const lead, overlap = 10 * time.Minute, time.Hour
	set := newKeySet(t, jose.ES256, jose.EdDSA)
	old := signer(t, set, jose.ES256, noon)
	if err := set.Rotate(rand.Reader, noon, lead, overlap); err != nil {
		t.Fatal(err)
	}
	for at, wantOld := range map[time.Duration]bool{0: true, lead - time.Second: true, lead: false, lead + time.Second: false, lead + overlap: false} {
		now := noon.Add(at)
		if got := signer(t, set, jose.ES256, now); (got.ID() == old.ID()) != wantOld {
			t.Errorf("%s after the rotation the signing key is %s", at, got)
		}
		payload := []byte("id.1.body")
		signature, err := jose.SignDetached(signer(t, set, jose.EdDSA, now), payload, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jose.VerifyDetached(signature, set.Public(), payload, now); err != nil {
			t.Errorf("%s after the rotation: %v", at, err)
		}
	}
	// A signature by the old key verifies to the end of its overlap and no longer.
	end := noon.Add(lead + overlap)
	for at, ok := range map[time.Time]bool{end.Add(-time.Second): true, end: false} {
		signature, err := jose.SignDetached(old, []byte("x"), at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jose.VerifyDetached(signature, set.Public(), []byte("x"), at); (err == nil) != ok {
			t.Errorf("at %s: %v", at, err)
		}
	}
}

func TestRepeatedRotationAlwaysHasOneSignerPerAlgorithm(t *testing.T) {
	set := newKeySet(t, jose.ES256)
	for i := range 8 {
		now := noon.Add(time.Duration(i) * time.Minute)
		if err := set.Rotate(rand.Reader, now, 10*time.Minute, time.Hour); err != nil {
			t.Fatal(err)
		}
		signer(t, set, jose.ES256, now)
	}
	last := noon.Add(7*time.Minute + 10*time.Minute + time.Hour)
	if err := set.Rotate(rand.Reader, last.Add(time.Hour), 0, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := set.Public().Len(); n != 2 {
		t.Fatalf("after all overlaps %d keys are left, want the last and the new one", n)
	}
	if err := set.Rotate(rand.Reader, noon, 0, 0); err == nil {
		t.Fatal("a rotation without overlap was made")
	}
}

func TestPublishedKeySetNeverHoldsPrivateMembers(t *testing.T) { // C26
	set := newKeySet(t, jose.ES256, jose.EdDSA, jose.PS256, jose.ES512)
	if err := set.Rotate(rand.Reader, noon, time.Minute, time.Hour); err != nil {
		t.Fatal(err)
	}
	published, err := set.PublicJWKS(noon)
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(published, &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Keys) != 8 {
		t.Fatalf("%d keys are published, want the current and the coming one of each algorithm", len(document.Keys))
	}
	public := []string{"kty", "kid", "use", "alg", "crv", "x", "y", "n", "e"}
	for _, key := range document.Keys {
		for name := range key {
			if !slices.Contains(public, name) {
				t.Errorf("member %s is published", name)
			}
		}
	}
	if _, err := jose.ParseJWKS(published); err != nil {
		t.Fatalf("our own key set would not be accepted from a client: %v", err)
	}
	later, err := set.PublicJWKS(noon.Add(2 * time.Hour))
	if err != nil || strings.Count(string(later), `"kid"`) != 4 {
		t.Fatalf("after the overlap: %s, %v", later, err)
	}
}

func TestKeyFileIsPrivateAndKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	set, err := jose.LoadOrCreateKeySet(path, rand.Reader, noon, jose.ES256, jose.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Rotate(rand.Reader, noon, time.Minute, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := set.Save(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	again, err := jose.LoadOrCreateKeySet(path, rand.Reader, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Duration{0, time.Minute, 2 * time.Hour} {
		now := noon.Add(at)
		if a, b := signer(t, set, jose.EdDSA, now), signer(t, again, jose.EdDSA, now); a.ID() != b.ID() || !a.NotAfter().Equal(b.NotAfter()) || !a.NotBefore().Equal(b.NotBefore()) {
			t.Errorf("%s later %v signs, read back %v", at, a, b)
		}
		a, _ := set.PublicJWKS(now)
		b, _ := again.PublicJWKS(now)
		if !bytes.Equal(a, b) {
			t.Errorf("%s later other keys are published", at)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Fatalf("the directory holds %v, %v", entries, err)
	}
	for _, mode := range []fs.FileMode{0o644, 0o604, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := jose.LoadKeySet(path); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a key file of mode %v was loaded: %v", mode, err)
		}
	}
}

func TestKeyFileThatIsNotOneIsRefusedWithoutQuotingIt(t *testing.T) {
	set := newKeySet(t, jose.ES256)
	good, err := set.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var document struct{ Keys []map[string]any }
	if err := json.Unmarshal(good, &document); err != nil {
		t.Fatal(err)
	}
	secret := document.Keys[0]["d"].(string)
	public, err := set.PublicJWKS(noon)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := json.Marshal(document.Keys[0])
	for name, data := range map[string][]byte{
		"empty":       nil,
		"not JSON":    []byte(secret),
		"no keys":     []byte(`{"keys":[]}`),
		"public keys": public,
		"oct":         []byte(`{"keys":[{"kty":"oct","k":"` + secret + `","kid":"a"}]}`),
		"twice":       []byte(`{"keys":[` + string(one) + `,` + string(one) + `]}`),
		"other alg":   bytes.Replace(good, []byte(`"ES256"`), []byte(`"ES512"`), 1),
		"cut off":     good[:len(good)/2],
	} {
		if _, err := jose.ParseKeySet(data); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrivateKeyDoesNotPrintItself(t *testing.T) {
	key := newKey(t, jose.ES256)
	secret := privateJWK(t, key)["d"].(string)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("key", "key", key)
	shown := fmt.Sprintf("%v %+v %#v %s", key, key, key, key) + log.String()
	if strings.Contains(shown, secret) || !strings.Contains(shown, key.ID()) {
		t.Fatalf("printed %s", shown)
	}
}

func TestKeysAreDrawnFromTheGivenSource(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.EdDSA, jose.ES512} {
		random := func() *bytes.Reader { return bytes.NewReader(bytes.Repeat([]byte{0x5a}, 256)) }
		a, err := jose.GenerateKey(alg, random(), noon)
		if err != nil {
			t.Fatal(err)
		}
		b, err := jose.GenerateKey(alg, random(), noon)
		if err != nil || a.ID() != b.ID() {
			t.Fatalf("%s: %v and %v, %v", alg, a, b, err)
		}
		if _, err := jose.GenerateKey(alg, bytes.NewReader(nil), noon); err == nil {
			t.Fatalf("%s: a key was made without randomness", alg)
		}
	}
}

func TestSigningWhileRotatingIsSafe(t *testing.T) {
	set := newKeySet(t, jose.EdDSA)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 50 {
				key, err := set.Signer(jose.EdDSA, noon)
				if err != nil {
					t.Error(err)
					return
				}
				signature, err := jose.SignDetached(key, []byte("x"), noon)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := jose.VerifyDetached(signature, set.Public(), []byte("x"), noon); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 10 {
		if err := set.Rotate(rand.Reader, noon, 0, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	group.Wait()
}
