package edge

import (
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// limiterKeys bounds a limiter's memory: two generations of that many keys.
// What is forgotten first is what was not used for longest.
const limiterKeys = 1 << 15

// Limiter grants each key rate requests a second and burst at once: a token
// bucket, kept as one instant per key (GCRA). Safe for concurrent use; memory
// stays bounded whatever keys come.
type Limiter struct {
	now      func() time.Time
	interval time.Duration // between two requests in the long run
	slack    time.Duration // how far the bucket may run ahead

	mu      sync.Mutex
	young   map[string]time.Time // key → when its bucket is full again
	old     map[string]time.Time
	maxKeys int
}

// NewLimiter makes a limiter of rate requests a second with bursts of up to
// burst. A rate of zero or less limits nothing.
func NewLimiter(now func() time.Time, rate float64, burst int) *Limiter {
	l := &Limiter{now: now, young: map[string]time.Time{}, maxKeys: limiterKeys}
	if rate > 0 {
		l.interval = time.Duration(float64(time.Second) / rate)
		l.slack = time.Duration(max(burst, 1)-1) * l.interval
	}
	return l
}

// Allow takes a token of key. When there is none it takes nothing and says
// after what time there will be one.
func (l *Limiter) Allow(key string) (ok bool, retryAfter time.Duration) {
	if l == nil || l.interval <= 0 {
		return true, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	full, known := l.young[key]
	if !known {
		full = l.old[key]
	}
	if full.Before(now) {
		full = now
	}
	if ahead := full.Sub(now); ahead > l.slack {
		return false, ahead - l.slack
	}
	if !known && len(l.young) >= l.maxKeys {
		l.young, l.old = make(map[string]time.Time, l.maxKeys), l.young
	}
	l.young[key] = full.Add(l.interval)
	return true, 0
}

// Check is Allow as an error: nil, or a *psd2.Error with CodeRateLimited.
func (l *Limiter) Check(key string) error {
	ok, wait := l.Allow(key)
	if ok {
		return nil
	}
	return &psd2.Error{Code: psd2.CodeRateLimited, Reason: "rate_limited",
		Message: "too many requests; try again after the time given in Retry-After", RetryAfter: wait}
}
