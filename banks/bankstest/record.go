package bankstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/rialto-hub/rialto/psd2"
)

// Exchange is one request to a bank and its answer, as a Recorder keeps it.
type Exchange struct {
	Method      string            `json:"method"`
	Path        string            `json:"path"` // with query
	Status      int               `json:"status"`
	Header      map[string]string `json:"header,omitempty"` // those that adapters read
	ContentType string            `json:"content_type,omitempty"`
	Body        string            `json:"body,omitempty"`
}

// keptHeaders are the response headers an adapter may go by. No others are
// kept: cookies, tokens and signatures stay out of a fixture.
var keptHeaders = []string{"Aspsp-Sca-Approach", "Aspsp-Notification-Support", "Retry-After", "X-Request-Id", "Location"}

// Recorder keeps what a real bank answers as a fixture for tests: put Wrap into
// banks.Deps and drive the adapter once. Accounts become others that are valid
// and nobody's, names and remittances become placeholders, each the same one
// wherever it appears; Hide adds words of your own, such as a customer number.
// Look the file through before you share it.
type Recorder struct {
	mu   sync.Mutex
	out  io.Writer
	mask masker
	err  error
}

// NewRecorder records exchanges, a JSON document a line. A Replay is reached by
// a base URL with the same path.
func NewRecorder(out io.Writer, hide ...string) *Recorder {
	return &Recorder{out: out, mask: masker{known: map[string]string{}, hide: hide}}
}

// Wrap is a banks.Deps.Wrap.
func (r *Recorder) Wrap(_ string, next http.RoundTripper) http.RoundTripper {
	return recording{r, next}
}

// Placeholder is what stands in the recording for a word of the original.
func (r *Recorder) Placeholder(real string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.mask.known[real]; ok {
		return p
	}
	return real
}

// Err is the first failure to record; the adapter does not see it.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

type recording struct {
	r    *Recorder
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper. It reads the whole answer, and hands
// it on as it came.
func (t recording) RoundTrip(q *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(q)
	if err != nil {
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	t.r.keep(q, resp, body)
	return resp, nil
}

func (r *Recorder) keep(q *http.Request, resp *http.Response, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := Exchange{Method: q.Method, Path: r.mask.words(q.URL.RequestURI()), Status: resp.StatusCode,
		ContentType: resp.Header.Get("Content-Type"), Body: r.mask.clean(string(body)), Header: map[string]string{}}
	for _, name := range keptHeaders {
		if v := resp.Header.Get(name); v != "" {
			x.Header[name] = r.mask.words(v)
		}
	}
	line, err := json.Marshal(x)
	if err == nil {
		_, err = r.out.Write(append(line, '\n'))
	}
	if r.err == nil {
		r.err = err
	}
}

// masker replaces what points to a person, the same by the same.
type masker struct {
	known map[string]string
	hide  []string
	n     int
}

var (
	ibanLike = regexp.MustCompile(`\b[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\b`)
	personal = regexp.MustCompile(`(?i)(name|names|remittance\w*|psuMessage|address|iban|email|phone)$`)
)

// clean masks a body: JSON by its members, anything else by its words.
func (m *masker) clean(body string) string {
	var doc any
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if d.Decode(&doc) != nil || d.More() {
		return m.words(body)
	}
	out, err := json.Marshal(m.value("", doc))
	if err != nil {
		return m.words(body)
	}
	return m.words(string(out))
}

func (m *masker) value(member string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = m.value(k, x)
		}
		return v
	case []any:
		for i, x := range v {
			v[i] = m.value(member, x)
		}
		return v
	case string:
		if personal.MatchString(member) && !ibanLike.MatchString(v) && v != "" {
			return m.as(v, func(n int) string { return fmt.Sprintf("Text %d", n) })
		}
	}
	return v
}

func (m *masker) words(s string) string {
	for _, h := range m.hide {
		if h != "" {
			s = strings.ReplaceAll(s, h, m.as(h, func(n int) string { return fmt.Sprintf("hidden-%d", n) }))
		}
	}
	return ibanLike.ReplaceAllStringFunc(s, func(found string) string {
		if _, err := psd2.ParseIBAN(found); err != nil {
			return found
		}
		return m.as(found, nobodysIBAN)
	})
}

func (m *masker) as(real string, placeholder func(int) string) string {
	if _, ok := m.known[real]; !ok {
		for _, already := range m.known {
			if already == real {
				return real // a placeholder, met again
			}
		}
		m.n++
		m.known[real] = placeholder(m.n)
	}
	return m.known[real]
}

// nobodysIBAN is a valid German IBAN of a bank code that no bank has.
func nobodysIBAN(n int) string {
	bban := fmt.Sprintf("99999999%010d", n)
	number, _ := new(big.Int).SetString(bban+"131400", 10)
	return fmt.Sprintf("DE%02d%s", 98-new(big.Int).Mod(number, big.NewInt(97)).Int64(), bban)
}

// Replay answers as a recorded bank did: the exchanges of a file, each method
// and path in the order in which it was recorded, its last answer for ever.
type Replay struct {
	mu   sync.Mutex
	left []Exchange
	last map[string]Exchange
	odd  []string
}

// LoadReplay reads a Recorder's file.
func LoadReplay(file string) (*Replay, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &Replay{last: map[string]Exchange{}}
	for i, line := range bytes.Split(bytes.TrimSpace(raw), []byte("\n")) {
		var x Exchange
		if err := json.Unmarshal(line, &x); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		r.left = append(r.left, x)
	}
	return r, nil
}

// ServeHTTP answers 404 to what was never recorded, and remembers it.
func (r *Replay) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	x, ok := r.take(q.Method, q.URL.RequestURI())
	if !ok {
		http.NotFound(w, q)
		return
	}
	for name, value := range x.Header {
		w.Header().Set(name, value)
	}
	if id := q.Header.Get("X-Request-ID"); id != "" {
		w.Header().Set("X-Request-ID", id)
	}
	w.Header().Set("Content-Type", x.ContentType)
	w.WriteHeader(x.Status)
	_, _ = io.WriteString(w, x.Body)
}

func (r *Replay) take(method, path string) (Exchange, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := method + " " + path
	i := slices.IndexFunc(r.left, func(x Exchange) bool { return x.Method+" "+x.Path == key })
	if i >= 0 {
		r.last[key] = r.left[i]
		r.left = slices.Delete(r.left, i, i+1)
	}
	x, ok := r.last[key]
	if !ok {
		r.odd = append(r.odd, key)
	}
	return x, ok
}

// Odd lists requests that were never recorded.
func (r *Replay) Odd() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.odd)
}
