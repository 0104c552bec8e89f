package ops

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
)

// Limits of the event streams. A stream that reaches its end is opened again
// by the browser.
const (
	streamLife  = 5 * time.Minute
	streamPause = 5 * time.Second // how often it looks when nobody signals
	streamWrite = 5 * time.Second // how long a slow reader may hold a write
	streamsMax  = 256
)

// streams counts the open ones.
type streams struct{ open atomic.Int64 }

// live is GET /payments/{id}/live: event "version" with the payment's version,
// now and at every change. It ends with the session, which it does not
// prolong: an open page is not a present operator.
func (v *visit) live() error {
	secret := sessionOf(v.Request())
	if secret == "" || !v.sessions.valid(secret, false) {
		return echo.ErrForbidden
	}
	p, err := v.Hub.Payment(v.ctx(), v.Param("id"))
	if err != nil {
		return err
	}
	edge.Annotate(v.ctx(), "payment_id", p.ID)
	defer v.streams.open.Add(-1)
	if v.streams.open.Add(1) > streamsMax {
		return &psd2.Error{Code: psd2.CodeRateLimited, Reason: "too_many_streams", Message: "too many open pages", RetryAfter: time.Minute}
	}
	header := v.Response().Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no")
	v.Response().WriteHeader(http.StatusOK)
	if v.Request().Method != http.MethodHead {
		v.follow(p, secret)
	}
	return nil
}

// follow writes until the reader has gone or the session is over.
func (v *visit) follow(p *psd2.Payment, secret string) {
	var changed <-chan struct{}
	if v.Bus != nil {
		ch, stop := v.Bus.Watch(p.ID)
		defer stop()
		changed = ch
	}
	end := time.NewTimer(streamLife)
	defer end.Stop()
	pause := time.NewTicker(streamPause)
	defer pause.Stop()
	var shown int64
	for {
		event := ": still here\n\n"
		if p.Version != shown {
			event, shown = fmt.Sprintf("event: version\ndata: %d\n\n", p.Version), p.Version
		}
		if v.send(event) != nil {
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
		if !v.sessions.valid(secret, false) {
			return
		}
		var err error
		if p, err = v.Hub.Payment(v.ctx(), p.ID); err != nil {
			return // the browser opens the stream again and learns why
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
