package edge

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rialto-hub/rialto/psd2"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestLimiterNeverGrantsMoreThanRateAndBurst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.5, 50).Draw(t, "rate")
		burst := rapid.IntRange(1, 20).Draw(t, "burst")
		c := &clock{at: time.Unix(1_700_000_000, 0)}
		l := NewLimiter(c.now, rate, burst)
		start, granted := c.at, 0
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			c.at = c.at.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond)
			ok, wait := l.Allow("k")
			if ok {
				granted++
			} else {
				later := &clock{at: c.at.Add(wait)}
				c.at = later.at
				if ok, _ := l.Allow("k"); !ok {
					t.Fatal("refused after the time it asked to wait")
				}
				granted++
			}
		}
		if limit := float64(burst) + c.at.Sub(start).Seconds()*rate + 1e-3; float64(granted) > limit {
			t.Fatalf("%d granted, at most %.3f expected", granted, limit)
		}
	})
}

func TestLimiterMemoryIsBounded(t *testing.T) { // C08
	c := &clock{at: time.Unix(1_700_000_000, 0)}
	l := NewLimiter(c.now, 1, 1)
	l.maxKeys = 100
	for i := range 10_000 {
		l.Allow(fmt.Sprint("key", i))
		if n := len(l.young) + len(l.old); n > 200 {
			t.Fatalf("%d keys are kept", n)
		}
		if ok, _ := l.Allow(fmt.Sprint("key", i)); ok {
			t.Fatalf("key %d got a second token at once", i)
		}
	}
	if ok, _ := l.Allow("key9950"); ok {
		t.Error("a key used a moment ago was forgotten")
	}
}

func TestRotatingAddressesDoesNotHelp(t *testing.T) { // C08
	c := &clock{at: time.Unix(1_700_000_000, 0)}
	e := &Edge{}
	l := NewLimiter(c.now, 1, 10)
	var passed atomic.Int64
	h := e.Wrap("test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := l.Check(AddrKey(ClientAddr(r.Context()))); err != nil {
			WriteProblem(w, r, err)
			return
		}
		passed.Add(1)
	}))
	try := func(peer, forwarded string) int {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = peer
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip", "Cf-Connecting-Ip"} {
			r.Header.Set(name, forwarded)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		return w.Code
	}
	for i := range 1000 {
		try("203.0.113.5:1000", fmt.Sprintf("10.%d.%d.1", i/256, i%256))
	}
	if passed.Load() != 10 {
		t.Errorf("%d passed by rotating X-Forwarded-For", passed.Load())
	}
	passed.Store(0)
	for i := range 1000 {
		try(fmt.Sprintf("[2001:db8:1:2::%x]:1000", i+1), "")
	}
	if passed.Load() != 10 {
		t.Errorf("%d passed by rotating within a /64", passed.Load())
	}
	if code := try("[2001:db8:1:3::1]:1000", ""); code != http.StatusOK {
		t.Errorf("a neighbour's /64 got %d", code)
	}
}

func TestAddrKey(t *testing.T) {
	for in, want := range map[string]string{"203.0.113.5": "203.0.113.5", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64"} {
		if got := AddrKey(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	if got := AddrKey(netip.Addr{}); got != "unknown" {
		t.Error(got)
	}
	var none *Limiter
	if err := none.Check("x"); err != nil || psd2.CodeOf(NewLimiter(time.Now, 0, 0).Check("x")) != psd2.CodeInternal {
		t.Error("a limiter without a rate limits")
	}
}
