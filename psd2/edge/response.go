package edge

import (
	"net/http"
	"time"
)

// response notes status and size of an answer. Unwrap lets
// http.ResponseController reach the connection (streams, deadlines).
type response struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Flush sends what is buffered, for server-sent events.
func (w *response) Flush() {
	_ = http.NewResponseController(w.ResponseWriter).Flush() // a writer that cannot flush sends at the end
}

// Unwrap serves http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// closeAfterChunked ends a connection after a body in chunks. net/http drops a
// Content-Length beside them without a word, so we cannot see the request that
// a proxy in front may have framed differently; RFC 9112 §6.1 has us close.
func closeAfterChunked(w http.ResponseWriter, r *http.Request) {
	if len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
	}
}

// limitBodyTime bounds how long the body may take. net/http lifts the deadline
// itself once the body has been read, so a handler may take its time then.
func (e *Edge) limitBodyTime(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody {
		// The connection's clock is the real one. A writer without deadlines is a test's.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(e.bodyTime()))
	}
}
