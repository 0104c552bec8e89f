package webhooks

import (
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"time"
)

// schedule is the pause before each try (Standard Webhooks 1.0.0, "Retries"):
// ten tries over three days and a half.
var schedule = []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour,
	5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}

const (
	maxRetryAfter = 24 * time.Hour  // what an endpoint may ask for one delivery
	maxThrottle   = 5 * time.Minute // and for all of its deliveries
	minThrottle   = time.Second     // of an endpoint that says it cannot keep up
	maxWait       = 5 * time.Minute // of a later event behind a failing earlier one
	giveUpAfter   = 120 * time.Hour // of nothing but failures an endpoint is disabled
)

// pause is how long to wait before the try with that index, ±20 % so that what
// failed together does not come back together. ok is false when there is none.
func pause(index int, random io.Reader) (wait time.Duration, ok bool) {
	if index >= len(schedule) {
		return 0, false
	}
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return schedule[index], true // the jitter is a courtesy
	}
	share := float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53) // [0,1)
	return time.Duration(float64(schedule[index]) * (0.8 + 0.4*share)), true
}

// retryAfter reads the header in both of its forms (RFC 9110 §10.2.3); 0 when
// there is none that can be read.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
