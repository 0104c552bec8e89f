package sandbox

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Switches are an operator's faults for one bank. Counters count down by
// themselves. They last as long as the process.
type Switches struct {
	Down           bool `json:"down"`            // everything answers 503 with Retry-After
	LoseBefore     int  `json:"lose_before"`     // next initiations: connection cut, nothing stored
	LoseAfter      int  `json:"lose_after"`      // next initiations: stored, then the connection is cut
	LoseStatus     int  `json:"lose_status"`     // next questions about an order: connection cut
	LatencyMillis  int  `json:"latency_ms"`      // before every answer of the PIS interface
	RetryAfterSecs int  `json:"retry_after_sec"` // with Down
}

// limit of what a switch may be set to.
const (
	maxLatencyMillis = 60_000
	maxCounter       = 1_000_000
)

func (s Switches) valid() bool {
	return within(s.LoseBefore, maxCounter) && within(s.LoseAfter, maxCounter) && within(s.LoseStatus, maxCounter) &&
		within(s.LatencyMillis, maxLatencyMillis) && within(s.RetryAfterSecs, 86_400)
}

func within(n, limit int) bool { return n >= 0 && n <= limit }

// switchboard holds a bank's switches.
type switchboard struct {
	mu sync.Mutex
	s  Switches
}

func newSwitchboard(b Bank) *switchboard {
	return &switchboard{s: Switches{Down: b.Down, RetryAfterSecs: 30}}
}

func (b *switchboard) get() Switches {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s
}

// update changes the switches; fn returns false to leave them as they are.
func (b *switchboard) update(fn func(*Switches) bool) (Switches, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.s
	ok := fn(&next) && next.valid()
	if ok {
		b.s = next
	}
	return b.s, ok
}

// take uses one of a counter up.
func (b *switchboard) take(counter func(*Switches) *int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := counter(&b.s)
	if *n <= 0 {
		return false
	}
	*n--
	return true
}

func loseBefore(s *Switches) *int { return &s.LoseBefore }
func loseAfter(s *Switches) *int  { return &s.LoseAfter }
func loseStatus(s *Switches) *int { return &s.LoseStatus }

// pause waits for the bank's latency, or until the caller is gone.
func pause(ctx context.Context, ms int) {
	if ms <= 0 {
		return
	}
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// cut loses the answer. It breaks off after the first bytes of a status line:
// clients repeat a GET by themselves when a used connection ends without a
// byte, and then nothing would be lost.
func cut(w http.ResponseWriter) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: reset the stream
	}
	_, _ = buf.WriteString("HTTP/1.1 ")
	_ = buf.Flush()
	_ = conn.Close()
}
