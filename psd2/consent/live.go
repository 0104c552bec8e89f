package consent

import (
	"fmt"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2/edge"
)

// Limits of the event streams.
const (
	streamPause   = 3 * time.Second // how often it looks when nobody signals
	streamsPerPay = 4
	streamsInAll  = 4096
)

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
	leave, err := v.streams.Enter(v.payment.ID)
	if err != nil {
		return err
	}
	defer leave()
	stream := edge.Stream{Pause: streamPause, Closed: v.closed}
	if v.Watch != nil {
		changed, stop := v.Watch(v.payment.ID)
		defer stop()
		stream.Changed = changed
	}
	shown := ""
	stream.Serve(v.Response(), v.Request(), func() (events string, more bool) {
		p, err := v.Hub.Payment(v.ctx(), v.payment.ID)
		if err != nil {
			return "", false // the page falls back to loading again
		}
		now := v.Now()
		if f := fingerprint(p, now); f != shown {
			events, shown = fmt.Sprintf("event: state\ndata: %s\n\n", f), f
		}
		if more = looks[situation(p, now)].refresh != 0; !more {
			events += "event: end\ndata: end\n\n"
		}
		return events, more
	})
	return nil
}
