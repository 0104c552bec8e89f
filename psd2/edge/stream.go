package edge

import (
	"net/http"
	"time"
)

// Limits of a stream. One that reaches its end is opened again by the browser,
// which thereby shows anew who it is.
const (
	streamLife  = 5 * time.Minute
	streamWrite = 5 * time.Second // how long a slow reader may hold a write
)

// Stream is an answer of server-sent events (HTML Standard §9.2) to a page that
// waits for something to change.
type Stream struct {
	Pause   time.Duration   // how often it looks when nobody signals
	Changed <-chan struct{} // a value: look now; nil when nobody signals
	Closed  <-chan struct{} // closed: the server goes down
}

// Serve answers the request. It asks next for events at once, at every signal
// and after every pause, until next wants no more, the reader has gone, the
// server goes down or the stream's life is over. Next gives whole events, each
// with its empty line, or "" when there is nothing new; what it gives with its
// last call is still written. HEAD gets the header alone.
func (s Stream) Serve(w http.ResponseWriter, r *http.Request, next func() (events string, more bool)) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	end := time.NewTimer(streamLife)
	defer end.Stop()
	pause := time.NewTicker(s.Pause)
	defer pause.Stop()
	for {
		events, more := next()
		if events == "" {
			if !more {
				return
			}
			events = ": still here\n\n"
		}
		if sendEvents(w, events) != nil || !more {
			return
		}
		select {
		case <-s.Changed:
		case <-pause.C:
		case <-end.C:
			return
		case <-s.Closed:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func sendEvents(w http.ResponseWriter, events string) error {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(streamWrite)) // the connection's clock; without one a slow reader waits longer
	if _, err := w.Write([]byte(events)); err != nil {
		return err
	}
	return control.Flush()
}
