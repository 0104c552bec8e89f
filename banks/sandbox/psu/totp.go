package psu

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"time"
)

const totpPeriod = 30 * time.Second

// TOTP is the 6-digit code of a base32 secret at a time (RFC 6238 with SHA-1
// and 30 s). It is written out here, not shared with the sandbox, so that each
// checks the other.
func TOTP(secret string, at time.Time) (string, error) {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return "", fmt.Errorf("psu: the TOTP secret is not base32")
	}
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(at.Unix()/int64(totpPeriod/time.Second)))
	mac := hmac.New(sha1.New, key)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at4 := sum[len(sum)-1] & 15 // dynamic truncation (RFC 4226 §5.3)
	n := binary.BigEndian.Uint32(sum[at4:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000), nil
}
