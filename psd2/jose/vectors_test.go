package jose_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

type vector struct {
	Name       string
	JWK        map[string]any
	JWS        string
	Proof      string
	JKT        string
	Thumbprint string
	JWKThumb   string `json:"jwk_thumbprint_sha256"`
	Detached   string `json:"jws_detached"`
	OpenBank   string `json:"x_jws_signature"`
	TrueLayer  string `json:"tl_signature"`
	Payload    string `json:"payload_utf8"`
	ToSign     string `json:"payload_to_sign"`
}

func vectors(t *testing.T) map[string]vector {
	var document struct{ Vectors []vector }
	if err := json.Unmarshal(testkit.ReadStandard(t, "jose", "vectors.json"), &document); err != nil {
		t.Fatal(err)
	}
	byName := map[string]vector{}
	for _, v := range document.Vectors {
		name, _, _ := strings.Cut(v.Name, " ")
		byName[name] = v
	}
	return byName
}

func TestThumbprintsOfTheRFCs(t *testing.T) {
	all := vectors(t)
	for name, want := range map[string]string{
		"rfc7638-rsa-thumbprint": all["rfc7638-rsa-thumbprint"].Thumbprint,
		"rfc8037-A4-ed25519-jws": all["rfc8037-A4-ed25519-jws"].JWKThumb,
	} {
		members := all[name].JWK
		if want == "" || len(members) == 0 {
			t.Fatalf("%s is not in the collection", name)
		}
		delete(members, "d")
		delete(members, "alg")
		members["kid"] = "k"
		set, err := jose.ParseJWKS(jwks(t, members))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if key, _ := set.Key("k"); key.Thumbprint() != want {
			t.Errorf("%s: thumbprint %s, want %s", name, key.Thumbprint(), want)
		}
	}
}

func TestDPoPProofOfRFC9449(t *testing.T) {
	v := vectors(t)["rfc9449-dpop-proof"]
	at := time.Unix(1562262616, 0)
	request := jose.DPoPRequest{Method: "POST", URL: "https://server.example.com/token"}
	proof, err := jose.VerifyDPoP(v.Proof, request, at)
	if err != nil {
		t.Fatal(err)
	}
	if proof.Thumbprint != v.JKT {
		t.Fatalf("thumbprint %s, want %s", proof.Thumbprint, v.JKT)
	}
	for i := range len(v.Proof) {
		altered := []byte(v.Proof)
		altered[i] ^= 1
		if got, err := jose.VerifyDPoP(string(altered), request, at); err == nil {
			t.Fatalf("character %d was changed unnoticed: %+v", i, got)
		}
	}
}

// Other profiles' signatures are good in their own world and none of ours:
// unencoded payload, crit, HMAC, members we do not know, an attached payload.
func TestSignaturesOfOtherProfilesAreRefused(t *testing.T) {
	all := vectors(t)
	key := newKey(t, jose.ES256)
	for name, text := range map[string]string{
		"rfc7797-4.2-b64false-detached":   all["rfc7797-4.2-b64false-detached"].Detached,
		"jades-sigD-httpheaders-rs256":    all["jades-sigD-httpheaders-rs256"].OpenBank,
		"uk-ob-x-jws-signature-b64false":  all["uk-ob-x-jws-signature-b64false"].OpenBank,
		"truelayer-tl-signature-es512":    all["truelayer-tl-signature-es512"].TrueLayer,
		"rfc8037-A4-ed25519-jws":          all["rfc8037-A4-ed25519-jws"].JWS,
		"rfc9449-dpop-proof as a request": all["rfc9449-dpop-proof"].Proof,
	} {
		if text == "" {
			t.Fatalf("%s is not in the collection", name)
		}
		wantPart(t, deposit().verify(text, registered(t, key), noon), jose.PartForm)
		_, err := jose.VerifyDetached(text, registered(t, key), []byte("x"), noon)
		wantPart(t, err, jose.PartForm)
	}
}
