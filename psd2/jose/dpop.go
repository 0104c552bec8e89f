package jose

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/rialto-hub/rialto/psd2"
)

// dpopMaxAge is how old a proof may be. It is made for one request, so a
// minute of clock difference is all it needs.
const dpopMaxAge = time.Minute

// DPoPRequest is the request that a proof must be about.
type DPoPRequest struct {
	Method string
	// URL is the request's absolute URL as the client knows it, not as a
	// proxy has rewritten it. Its query and fragment do not count.
	URL string
	// AccessToken is the token presented with the proof; empty at the token
	// endpoint.
	AccessToken string
}

// DPoPProof is what a valid proof shows: that whoever sent the request holds
// the private key of Thumbprint. The caller accepts it once: it consumes ID,
// kept until ExpiresAt.
type DPoPProof struct {
	Thumbprint string // RFC 7638 SHA-256, base64url: the jkt of a bound token
	ID         string // jti
	IssuedAt   time.Time
	ExpiresAt  time.Time
}

type dpopClaims struct {
	ID       string       `json:"jti"`
	Method   string       `json:"htm"`
	URL      string       `json:"htu"`
	IssuedAt *numericDate `json:"iat"`
	Token    string       `json:"ath,omitempty"`
}

// VerifyDPoP checks the DPoP header of a request (RFC 9449 §4.3). The error is
// a *psd2.Error with reason invalid_dpop_proof.
func VerifyDPoP(proof string, request DPoPRequest, now time.Time) (*DPoPProof, error) {
	jws, key, err := parseOwnKey(proof, TypDPoP, "DPoP proof", invalidProof)
	if err != nil {
		return nil, err
	}
	var claims dpopClaims
	if err := json.Unmarshal(jws.payload, &claims); err != nil {
		return nil, invalidProof("the claims of the DPoP proof cannot be read", err)
	}
	if err := claims.check(request, now); err != nil {
		return nil, err
	}
	return &DPoPProof{
		Thumbprint: key.thumbprint,
		ID:         claims.ID,
		IssuedAt:   claims.IssuedAt.Time,
		ExpiresAt:  claims.IssuedAt.Add(dpopMaxAge + time.Second),
	}, nil
}

func (c *dpopClaims) check(request DPoPRequest, now time.Time) error {
	want, err := proofTarget(request.URL)
	if err != nil {
		return err // our own URL: not the client's fault
	}
	got, err := proofTarget(c.URL)
	switch {
	case c.Method != request.Method || request.Method == "":
		return invalidProof("htm is not the request's method", nil)
	case err != nil || got != want:
		return invalidProof("htu is not the request's URL without query and fragment", nil)
	case !recent(c.IssuedAt, dpopMaxAge, now):
		return invalidProof("iat is missing or more than 60 s off; make a new proof for each request", nil)
	case !isJTI(c.ID):
		return invalidProof("jti must be 1 to 128 visible ASCII characters", nil)
	}
	if request.AccessToken != "" && subtle.ConstantTimeCompare([]byte(c.Token), []byte(tokenHash(request.AccessToken))) != 1 {
		return invalidProof("ath is not the hash of the access token", nil)
	}
	return nil
}

func invalidProof(message string, cause error) *psd2.Error {
	return denied("invalid_dpop_proof", message, cause)
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// proofTarget brings a URL to the form in which htu is compared: scheme and
// host in lower case, no default port, the path as escaped, "/" for none
// (RFC 9449 §4.3 with RFC 3986 §6.2.2 and §6.2.3).
func proofTarget(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return "", errors.New("jose: not an absolute URL")
	}
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if scheme != "https" && scheme != "http" {
		return "", errors.New("jose: not an HTTP URL")
	}
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[scheme]
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + path, nil
}

// SignDPoP makes the proof for one request, as a client does. jti must be new
// each time.
func SignDPoP(key *Key, request DPoPRequest, jti string, now time.Time) (string, error) {
	target, err := url.Parse(request.URL)
	if err != nil || target.Host == "" {
		return "", errors.New("jose: sign DPoP proof: the URL must be absolute")
	}
	if !isJTI(jti) {
		return "", errors.New("jose: sign DPoP proof: jti must be 1 to 128 visible ASCII characters")
	}
	target.RawQuery, target.ForceQuery, target.Fragment, target.RawFragment = "", false, "", ""
	claims := dpopClaims{ID: jti, Method: request.Method, URL: target.String(), IssuedAt: dateOf(now)}
	if request.AccessToken != "" {
		claims.Token = tokenHash(request.AccessToken)
	}
	return signJWT(key, claims, map[gojose.HeaderKey]any{
		"typ": TypDPoP,
		"jwk": gojose.JSONWebKey{Key: key.public.public},
	})
}
