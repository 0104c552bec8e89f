package ops

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
)

// Limits of the event streams.
const (
	streamPause = 5 * time.Second // how often it looks when nobody signals
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
	stream := edge.Stream{Pause: streamPause, Closed: v.closed}
	if v.Bus != nil {
		changed, stop := v.Bus.Watch(p.ID)
		defer stop()
		stream.Changed = changed
	}
	var shown int64
	stream.Serve(v.Response(), v.Request(), func() (events string, more bool) {
		if !v.sessions.valid(secret, false) {
			return "", false
		}
		p, err := v.Hub.Payment(v.ctx(), p.ID)
		if err != nil {
			return "", false // the browser opens the stream again and learns why
		}
		if p.Version != shown {
			events, shown = fmt.Sprintf("event: version\ndata: %d\n\n", p.Version), p.Version
		}
		return events, true
	})
	return nil
}
