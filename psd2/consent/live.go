package consent

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
)

// Limits of the event streams. A stream that reaches its end is opened again
// by the browser, which thereby shows its cookie anew.
const (
	streamLife    = 5 * time.Minute
	streamPause   = 3 * time.Second // how often it looks when nobody signals
	streamWrite   = 5 * time.Second // how long a slow reader may hold a write
	streamsPerPay = 4
	streamsInAll  = 4096
)

// streams counts the open ones.
type streams struct {
	mu    sync.Mutex
	total int
	open  map[string]int
}

func (s *streams) enter(paymentID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= streamsInAll || s.open[paymentID] >= streamsPerPay {
		return false
	}
	s.total++
	s.open[paymentID]++
	return true
}

func (s *streams) leave(paymentID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.open[paymentID]--; s.open[paymentID] <= 0 {
		delete(s.open, paymentID)
	}
}

// live is GET /pay/{id}/live: event "state" with a fingerprint of what the
// status page would show, now and at every change, and "end" when nothing more
// is expected. It carries nothing that the page does not show, and only to the
// bound browser's own page (security row B31).
func (v *visit) live() error {
	if err := v.mine(); err != nil {
		return err
	}
	h := v.Request().Header
	if site := h.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return echo.ErrForbidden
	}
	if o := h.Get("Origin"); o != "" && o != v.origin {
		return echo.ErrForbidden
	}
	if !v.streams.enter(v.payment.ID) {
		return &psd2.Error{Code: psd2.CodeRateLimited, Reason: "too_many_streams", Message: "too many open pages", RetryAfter: streamPause}
	}
	defer v.streams.leave(v.payment.ID)
	header := v.Response().Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	v.Response().WriteHeader(http.StatusOK)
	if v.Request().Method == http.MethodHead {
		return nil
	}
	v.follow()
	return nil
}

// follow writes until nothing more is expected or the reader has gone.
func (v *visit) follow() {
	var changed <-chan struct{}
	if v.Watch != nil {
		ch, stop := v.Watch(v.payment.ID)
		defer stop()
		changed = ch
	}
	end := time.NewTimer(streamLife)
	defer end.Stop()
	pause := time.NewTicker(streamPause)
	defer pause.Stop()
	shown := ""
	for {
		p, err := v.Hub.Payment(v.ctx(), v.payment.ID)
		if err != nil {
			return // the page falls back to loading again
		}
		now := v.Now()
		event := ": still here\n\n"
		if f := fingerprint(p, now); f != shown {
			event, shown = fmt.Sprintf("event: state\ndata: %s\n\n", f), f
		}
		over := looks[situation(p, now)].refresh == 0
		if over {
			event += "event: end\ndata: end\n\n"
		}
		if v.send(event) != nil || over {
			return
		}
		select {
		case <-changed:
		case <-pause.C:
		case <-end.C:
			return
		case <-v.closed:
			return
		case <-v.ctx().Done():
			return
		}
	}
}

func (v *visit) send(event string) error {
	control := http.NewResponseController(v.Response().Writer)
	_ = control.SetWriteDeadline(time.Now().Add(streamWrite)) // the connection's clock; without one a slow reader waits longer
	if _, err := v.Response().Write([]byte(event)); err != nil {
		return err
	}
	return control.Flush()
}
