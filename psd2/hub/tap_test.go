package hub_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// tap sits in front of the banks: it counts what they are asked, and tests
// hold, change or answer calls there.
type tap struct {
	next http.Handler

	mu    sync.Mutex
	calls map[string]int // by kind
	ask   func(kind string, w http.ResponseWriter, r *http.Request) (answered bool)
	alter func(kind string, body []byte) []byte
}

func kindOf(r *http.Request) string {
	switch {
	case !strings.Contains(r.URL.Path, "/v1/payments/"):
		return "page"
	case r.Method == http.MethodPost:
		return "initiate"
	case r.Method == http.MethodDelete:
		return "cancel"
	case strings.HasSuffix(r.URL.Path, "/status"):
		return "status"
	}
	return "other"
}

func (t *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := kindOf(r)
	t.mu.Lock()
	if t.calls == nil {
		t.calls = map[string]int{}
	}
	t.calls[kind]++
	ask, alter := t.ask, t.alter
	t.mu.Unlock()
	if ask != nil && ask(kind, w, r) {
		return
	}
	if alter == nil || kind == "page" {
		t.next.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	t.next.ServeHTTP(rec, r)
	body := alter(kind, rec.Body.Bytes())
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body) // the client may be gone
}

func (t *tap) count(kind string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls[kind]
}

// onAsk lets f answer calls to the banks instead of them; nil ends that.
func (t *tap) onAsk(f func(kind string, w http.ResponseWriter, r *http.Request) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ask = f
}

// say replaces one transactionStatus by another in what the banks answer; ""
// ends that.
func (t *tap) say(instead, code string) {
	if code == "" {
		t.onAnswer(nil)
		return
	}
	t.onAnswer(func(_ string, body []byte) []byte {
		return bytes.ReplaceAll(body, []byte(`"transactionStatus":"`+instead+`"`), []byte(`"transactionStatus":"`+code+`"`))
	})
}

// onAnswer lets f change what the banks answer; nil ends that.
func (t *tap) onAnswer(f func(kind string, body []byte) []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alter = f
}

// gate holds the banks' answers to one kind of call until it is opened.
type gate struct{ entered, open chan struct{} }

func (w *world) hold(kind string) gate {
	g := gate{make(chan struct{}, 64), make(chan struct{})}
	w.t.Cleanup(func() {
		select {
		case <-g.open:
		default:
			close(g.open)
		}
	})
	w.tap.onAsk(func(k string, _ http.ResponseWriter, _ *http.Request) bool {
		if k == kind {
			g.entered <- struct{}{}
			<-g.open
		}
		return false
	})
	return g
}

// answer writes a bank's answer in its stead.
func answer(rw http.ResponseWriter, body string) bool {
	_, _ = rw.Write([]byte(body)) // the client may be gone
	return true
}
