package psd2

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"
)

// Prefixes of the ids that outsiders see.
const (
	PrefixPayment  = "pay"
	PrefixAttempt  = "att"
	PrefixEvent    = "evt"
	PrefixMerchant = "mer"
	PrefixAccount  = "acc"
	PrefixEndpoint = "whe"
	PrefixDelivery = "dlv"
	PrefixSource   = "src"
	PrefixBank     = "bnk" // a bank as one merchant is told of it
	PrefixRefund   = "ref"
	PrefixPayout   = "pot"
	PrefixDecision = "dec" // of operators, about an unknown outcome
)

const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// NewID makes prefix_ + a UUIDv7 (RFC 9562) in lower-case Crockford base32:
// 26 characters that sort by time. random must be a cryptographic source in
// production; the simulator gives a seeded one.
func NewID(prefix string, now time.Time, random io.Reader) string {
	return prefix + "_" + encode32(uuidv7(now, random))
}

// NewUUID makes a UUIDv7 in its usual form, for X-Request-ID and UETR-like
// fields that demand one.
func NewUUID(now time.Time, random io.Reader) string {
	u := uuidv7(now, random)
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func uuidv7(now time.Time, random io.Reader) [16]byte {
	var u [16]byte
	if _, err := io.ReadFull(random, u[6:]); err != nil {
		panic("psd2: no randomness: " + err.Error()) // no id may be guessable: stop rather than go on
	}
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint32(u[0:], uint32(ms>>16))
	binary.BigEndian.PutUint16(u[4:], uint16(ms))
	u[6] = 0x70 | u[6]&0x0f
	u[8] = 0x80 | u[8]&0x3f
	return u
}

func encode32(u [16]byte) string {
	hi, lo := binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])
	var b [26]byte
	for i := 25; i >= 0; i-- {
		b[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(b[:])
}

// DeriveID makes prefix_ + the first 16 bytes of a hash in the same alphabet,
// for ids that must come out the same each time.
func DeriveID(prefix string, hash [16]byte) string {
	hash[0] &= 0x7f
	return prefix + "_" + encode32(hash)
}

// IsID reports whether s has the form of an id with that prefix. It keeps
// foreign text out of queries, NATS subjects and logs before any look-up.
func IsID(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix+"_")
	if !ok || len(rest) != 26 || rest[0] > '7' {
		return false
	}
	for i := range len(rest) {
		if strings.IndexByte(crockford, rest[i]) < 0 {
			return false
		}
	}
	return true
}
