package jose_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func sealKey(t *testing.T) *jose.SealKey {
	t.Helper()
	k, err := jose.NewSealKey(rand.Reader, noon.Add(15*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// box seals as a browser does, with a header of the test's choice.
func box(t *testing.T, k *jose.SealKey, apv string, plain []byte, spoil func(header map[string]any)) string {
	t.Helper()
	var jwk struct{ X, Y string }
	if err := json.Unmarshal(k.PublicJWK(), &jwk); err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding
	x, _ := b64.DecodeString(jwk.X)
	y, _ := b64.DecodeString(jwk.Y)
	theirs, err := ecdh.P256().NewPublicKey(append(append([]byte{4}, x...), y...))
	if err != nil {
		t.Fatal(err)
	}
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := own.ECDH(theirs)
	if err != nil {
		t.Fatal(err)
	}
	point := own.PublicKey().Bytes()
	header := map[string]any{"alg": "ECDH-ES", "enc": "A256GCM", "kid": k.ID(), "apv": b64.EncodeToString([]byte(apv)),
		"epk": map[string]any{"kty": "EC", "crv": "P-256", "x": b64.EncodeToString(point[1:33]), "y": b64.EncodeToString(point[33:])}}
	if spoil != nil {
		spoil(header)
	}
	counted := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	round := bytes.Join([][]byte{{0, 0, 0, 1}, shared, counted("A256GCM"), counted(""), counted(apv), {0, 0, 1, 0}}, nil)
	key := sha256.Sum256(round)
	raw, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	cipherBlock, _ := aes.NewCipher(key[:])
	gcm, _ := cipher.NewGCM(cipherBlock)
	iv := make([]byte, 12)
	_, _ = rand.Read(iv)
	protected := b64.EncodeToString(raw)
	out := gcm.Seal(nil, iv, plain, []byte(protected))
	return strings.Join([]string{protected, "", b64.EncodeToString(iv), b64.EncodeToString(out[:len(out)-16]), b64.EncodeToString(out[len(out)-16:])}, ".")
}

const canary = `{"password":"correct horse"}`

func TestSealedFieldsOpenInTheirContextOnly(t *testing.T) {
	k := sealKey(t)
	text := box(t, k, "att_1/nonce", []byte(canary), nil)
	if got, err := k.Open(text, "att_1/nonce", noon); err != nil || string(got) != canary {
		t.Fatalf("%q %v", got, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another form":   func() ([]byte, error) { return k.Open(text, "att_2/nonce", noon) },
		"another key":    func() ([]byte, error) { return sealKey(t).Open(text, "att_1/nonce", noon) },
		"after its time": func() ([]byte, error) { return k.Open(text, "att_1/nonce", noon.Add(15*time.Minute)) },
	} {
		if got, err := open(); err == nil || got != nil {
			t.Errorf("%s: opened", name)
		}
	}
	for i := range len(text) {
		altered := []byte(text)
		altered[i] ^= 1
		if _, err := k.Open(string(altered), "att_1/nonce", noon); err == nil {
			t.Errorf("character %d was changed unnoticed", i)
		}
	}
	// Even with the header that names this context, a box of another one stays
	// shut: the context is part of the key.
	forged := box(t, k, "att_2/nonce", []byte(canary), func(h map[string]any) { h["apv"] = base64.RawURLEncoding.EncodeToString([]byte("att_1/nonce")) })
	if _, err := k.Open(forged, "att_1/nonce", noon); err == nil {
		t.Error("the context is a label only")
	}
}

// TestOtherSealedFormsAreRefused. C21 (zip), C22 (RSA1_5, PBES2, dir, key wrap),
// C23 is answered by the context: a box says nothing of its sender.
func TestOtherSealedFormsAreRefused(t *testing.T) {
	k := sealKey(t)
	for name, spoil := range map[string]func(map[string]any){
		"zip":            func(h map[string]any) { h["zip"] = "DEF" },
		"RSA1_5":         func(h map[string]any) { h["alg"] = "RSA1_5" },
		"RSA-OAEP-256":   func(h map[string]any) { h["alg"] = "RSA-OAEP-256" },
		"PBES2":          func(h map[string]any) { h["alg"] = "PBES2-HS256+A128KW"; h["p2c"] = 1_000_000; h["p2s"] = "AAAA" },
		"dir":            func(h map[string]any) { h["alg"] = "dir" },
		"ECDH-ES+A256KW": func(h map[string]any) { h["alg"] = "ECDH-ES+A256KW" },
		"A128GCM":        func(h map[string]any) { h["enc"] = "A128GCM" },
		"A128CBC-HS256":  func(h map[string]any) { h["enc"] = "A128CBC-HS256" },
		"crit":           func(h map[string]any) { h["crit"] = []string{"exp"}; h["exp"] = 1 },
		"jku":            func(h map[string]any) { h["jku"] = "https://evil.example" },
		"nested":         func(h map[string]any) { h["cty"] = "JWT" },
		"no kid":         func(h map[string]any) { delete(h, "kid") },
		"no context":     func(h map[string]any) { delete(h, "apv") },
		"no epk":         func(h map[string]any) { delete(h, "epk") },
		"P-384":          func(h map[string]any) { h["epk"].(map[string]any)["crv"] = "P-384" },
		"private epk":    func(h map[string]any) { h["epk"].(map[string]any)["d"] = "AAAA" },
		"off the curve": func(h map[string]any) {
			h["epk"].(map[string]any)["y"] = base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))
		},
		"short x": func(h map[string]any) { h["epk"].(map[string]any)["x"] = "AAAA" },
	} {
		if got, err := k.Open(box(t, k, "c", []byte(canary), spoil), "c", noon); err == nil || got != nil {
			t.Errorf("%s: opened", name)
		}
	}
	for _, text := range []string{"", "....", "a.b.c", strings.Repeat("A", 9000), `{"protected":""}`, box(t, k, "c", make([]byte, 5000), nil)} {
		if _, err := k.Open(text, "c", noon); err == nil {
			t.Errorf("%.20q: opened", text)
		}
	}
}

// TestDerivedSealKeyIsTheSameEverywhere: one process shows the form, another
// receives it.
func TestDerivedSealKeyIsTheSameEverywhere(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	derive := func(secret []byte, context string) *jose.SealKey {
		k, err := jose.DeriveSealKey(secret, context, noon.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	a, b := derive(secret, "att_1"), derive(secret, "att_1")
	if got, err := b.Open(box(t, a, "att_1", []byte(canary), nil), "att_1", noon); err != nil || string(got) != canary {
		t.Errorf("%q %v", got, err)
	}
	if a.ID() == derive(secret, "att_2").ID() || a.ID() == derive(bytes.Repeat([]byte{8}, 32), "att_1").ID() {
		t.Error("another form or secret has the same key")
	}
	if _, err := jose.DeriveSealKey(secret[:31], "att_1", noon); err == nil {
		t.Error("a short secret is taken")
	}
	if text := fmt.Sprintf("%v %+v %#v", a, a, a); strings.Count(text, a.ID()) != 3 || len(text) > 200 {
		t.Errorf("a key prints more than its name: %s", text)
	}
}

// TestBrowsersSealOpens: the script that pages carry, run on WebCrypto.
func TestBrowsersSealOpens(t *testing.T) {
	node := testkit.Tool(t, "node")
	k := sealKey(t)
	if !json.Valid(k.PublicJWK()) || bytes.Contains(k.PublicJWK(), []byte(`"d"`)) {
		t.Fatalf("%s", k.PublicJWK())
	}
	sealing, err := os.ReadFile("../page/static/seal.js") // as pages load it
	if err != nil {
		t.Fatal(err)
	}
	script := string(sealing) + fmt.Sprintf(`
		rialtoSeal(%s, "att_1/prüfen", {password: "pässwörd €", code: "123456"}).then((jwe) => process.stdout.write(jwe));`, k.PublicJWK())
	out, err := exec.CommandContext(t.Context(), node, "-e", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := k.Open(string(out), "att_1/prüfen", noon)
	if err != nil || string(got) != `{"password":"pässwörd €","code":"123456"}` {
		t.Errorf("%q %v\n%s", got, err, out)
	}
}
