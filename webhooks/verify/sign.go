package verify

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"time"
)

// Headers of a delivery.
const (
	HeaderID        = "webhook-id"        // the event's id, the same on every retry
	HeaderTimestamp = "webhook-timestamp" // seconds since 1970 of this try
	HeaderSignature = "webhook-signature" // space-separated list of version,base64
	HeaderJWS       = "Rialto-Signature"  // detached JWS
)

// Versions of a signature in HeaderSignature.
const (
	versionHMAC    = "v1"
	versionEd25519 = "v1a"
)

// Content returns the bytes that all three signatures are made over:
// id.timestamp.body. id must be one that IsID accepts: a period in it would
// let two different deliveries have the same bytes.
func Content(id string, timestamp time.Time, body []byte) []byte {
	content := make([]byte, 0, len(id)+len(body)+22)
	content = append(content, id...)
	content = append(content, '.')
	content = strconv.AppendInt(content, timestamp.Unix(), 10)
	content = append(content, '.')
	return append(content, body...)
}

// IsID reports whether s may be a webhook-id: 1 to 128 of [A-Za-z0-9_-].
func IsID(s string) bool {
	if len(s) == 0 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		if !isBase64URL(s[i]) {
			return false
		}
	}
	return true
}

// SignV1 returns "v1," and the base64 HMAC-SHA256 of Content.
func SignV1(secret Secret, id string, timestamp time.Time, body []byte) string {
	mac := hmacOf(secret, Content(id, timestamp, body))
	return versionHMAC + "," + base64.StdEncoding.EncodeToString(mac)
}

// SignV1a returns "v1a," and the base64 ed25519 signature of Content.
func SignV1a(key SigningKey, id string, timestamp time.Time, body []byte) string {
	signature := ed25519.Sign(key.key, Content(id, timestamp, body))
	return versionEd25519 + "," + base64.StdEncoding.EncodeToString(signature)
}

func hmacOf(secret Secret, content []byte) []byte {
	mac := hmac.New(sha256.New, secret.key)
	mac.Write(content)
	return mac.Sum(nil)
}
