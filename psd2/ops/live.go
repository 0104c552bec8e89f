package ops

import (
	"cmp"
	"fmt"
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

// version is that of a payment or transfer.
func (v *visit) version(id string) (int64, error) {
	if psd2.IsID(psd2.PrefixPayment, id) {
		p, err := v.Hub.Payment(v.ctx(), id)
		if err != nil {
			return 0, err
		}
		return p.Version, nil
	}
	t, err := v.Hub.AnyTransfer(v.ctx(), id)
	if err != nil {
		return 0, err
	}
	return t.Version, nil
}

// live is GET /payments/{id}/live and /transfers/{id}/live: event "version" with
// the object's version, now and at every change. It ends with the session, which it does not
// prolong: an open page is not a present operator.
func (v *visit) live() error {
	if admitted, _, err := v.admit(false); err != nil || !admitted {
		return cmp.Or(err, error(echo.ErrForbidden))
	}
	id := v.Param("id")
	if _, err := v.version(id); err != nil {
		return err
	}
	edge.Annotate(v.ctx(), "object_id", id)
	leave, err := v.streams.Enter(id)
	if err != nil {
		return err
	}
	defer leave()
	stream := edge.Stream{Pause: streamPause, Closed: v.closed}
	if v.Bus != nil {
		changed, stop := v.Bus.Watch(id)
		defer stop()
		stream.Changed = changed
	}
	var shown int64
	stream.Serve(v.Response(), v.Request(), func() (events string, more bool) {
		if admitted, _, err := v.admit(false); err != nil || !admitted {
			return "", false
		}
		version, err := v.version(id)
		if err != nil {
			return "", false // the browser opens the stream again and learns why
		}
		if version != shown {
			events, shown = fmt.Sprintf("event: version\ndata: %d\n\n", version), version
		}
		return events, true
	})
	return nil
}
