package edge

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/psd2"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// lines collects log output; it is written from the server's goroutines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
	got chan struct{}
}

func newLines() *lines { return &lines{got: make(chan struct{}, 1000)} }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got <- struct{}{}
	return l.buf.Write(b)
}

// wait returns the n first records once they are written.
func (l *lines) wait(t *testing.T, n int) []map[string]any {
	t.Helper()
	for range n {
		select {
		case <-l.got:
		case <-time.After(10 * time.Second):
			t.Fatal("the log line never came")
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []map[string]any
	for line := range strings.Lines(l.buf.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("a log line is not one JSON object: %q", line)
		}
		out = append(out, record)
	}
	return out
}

func serve(t *testing.T, e *Edge, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(e.Wrap("test", SecurityHeaders("", h)))
	server.Config = NewServer(server.Config.Handler, nil)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, url string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func problemOf(t *testing.T, res *http.Response) Problem {
	t.Helper()
	if got := res.Header.Get("Content-Type"); got != ContentTypeProblem {
		t.Fatalf("status %d has content type %q", res.StatusCode, got)
	}
	var p Problem
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	if p.Status != res.StatusCode || p.Title == "" || len(p.TraceID) != 32 || !strings.HasPrefix(p.Type, "urn:rialto:problem:") {
		t.Errorf("incomplete problem %+v", p)
	}
	return p
}

func TestClientBehindTrustedProxies(t *testing.T) { // C08, C37
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tc := range []struct {
		name, peer       string
		forwarded        []string
		wantAddr, wantPt string
	}{
		{"direct", "203.0.113.9:4711", nil, "203.0.113.9", "4711"},
		{"stranger forges", "203.0.113.9:4711", []string{"1.2.3.4"}, "203.0.113.9", "4711"},
		{"one proxy", "10.0.0.1:80", []string{"198.51.100.7"}, "198.51.100.7", ""},
		{"client forges behind a proxy", "10.0.0.1:80", []string{"1.2.3.4, 198.51.100.7"}, "198.51.100.7", ""},
		{"forged in a header of its own", "10.0.0.1:80", []string{"1.2.3.4", "198.51.100.7"}, "198.51.100.7", ""},
		{"two proxies", "10.0.0.1:80", []string{"1.2.3.4, 198.51.100.7, 10.0.0.2"}, "198.51.100.7", ""},
		{"with port", "10.0.0.1:80", []string{"198.51.100.7:5000"}, "198.51.100.7", "5000"},
		{"v6 with port", "[fd00::1]:80", []string{"[2001:db8::5]:5000"}, "2001:db8::5", "5000"},
		{"mapped v4", "[::ffff:10.0.0.1]:80", []string{"::ffff:198.51.100.7"}, "198.51.100.7", ""},
		{"garbage ends the walk", "10.0.0.1:80", []string{"198.51.100.7, evil, 10.0.0.3"}, "10.0.0.3", ""},
		{"only proxies", "10.0.0.1:80", []string{"10.0.0.9, 10.0.0.2"}, "10.0.0.9", ""},
		{"a long forged list hides nobody", "10.0.0.1:80", []string{strings.Repeat("1.2.3.4,", 100) + "198.51.100.7"}, "198.51.100.7", ""},
		{"endless proxies", "10.0.0.1:80", []string{"1.2.3.4," + strings.Repeat("10.0.0.2,", 99) + "10.0.0.3"}, "10.0.0.2", ""},
		{"proxy says nothing", "10.0.0.1:80", nil, "10.0.0.1", "80"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tc.peer
			for _, f := range tc.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			e := &Edge{TrustedProxies: proxies}
			e.Wrap("test", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if got := ClientAddr(r.Context()).String(); got != tc.wantAddr || ClientPort(r.Context()) != tc.wantPt {
					t.Errorf("client %s port %q, want %s %q", got, ClientPort(r.Context()), tc.wantAddr, tc.wantPt)
				}
			})).ServeHTTP(httptest.NewRecorder(), r)
		})
	}
}

func TestWhatARequestSaysOfItselfIsBelievedFromProxiesOnly(t *testing.T) { // C37
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, trusted := range []bool{true, false} {
		e := &Edge{}
		if trusted {
			e.TrustedProxies = loopback
		}
		server := serve(t, e, func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, TraceID(r.Context()), IsSecure(r.Context()), r.TLS != nil)
		})
		res := get(t, server.URL, "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01",
			"X-Forwarded-Proto", "https", "X-Client-Cert", "MIIB", "X-Http-Method-Override", "DELETE")
		body, _ := io.ReadAll(res.Body)
		id, flags := string(body[:32]), string(body[32:])
		if (id == trace) != trusted || flags != fmt.Sprintf("%v false", trusted) {
			t.Errorf("trusted %v: trace %s, secure and TLS %s", trusted, id, flags)
		}
		if hsts := res.Header.Get("Strict-Transport-Security") != ""; hsts != trusted {
			t.Errorf("trusted %v: HSTS %v", trusted, hsts)
		}
	}
	for _, bad := range []string{"", "00", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "ff-" + trace + "-00f067aa0ba902b7-01", "00-" + trace + "-00f067aa0ba902b7-01\n"} {
		if got := parseTraceparent(bad); got != "" {
			t.Errorf("traceparent %q gave %q", bad, got)
		}
	}
}

func TestOneRequestIsOneLogLine(t *testing.T) { // C38
	log := newLines()
	e := &Edge{Log: slog.New(slog.NewJSONHandler(log, nil))}
	server := serve(t, e, func(w http.ResponseWriter, r *http.Request) {
		SetRoute(r.Context(), "/p/:token")
		Annotate(r.Context(), "payment_id", "pay_\n{\"level\":\"forged\"}\x1b[31m")
		Annotate(r.Context(), "payment_id", r.Header.Get("X-Evil")+"\r\nlast\u2028wins")
		_, _ = io.WriteString(w, "four")
	})
	raw(t, server, "GET /p/secret-link-token?iban=DE89370400440532013000%0a%22 HTTP/1.1\r\nHost: x\r\n"+
		"User-Agent: \"}{\xff\xfe\u202e\r\nX-Evil: a\"b\r\nAuthorization: Bearer secret\r\nConnection: close\r\n\r\n")
	records := log.wait(t, 1)
	if len(records) != 1 {
		t.Fatalf("%d lines for one request", len(records))
	}
	rec := records[0]
	for key, want := range map[string]any{"msg": "request", "room": "test", "method": "GET", "route": "/p/:token",
		"status": 200.0, "bytes_out": 4.0, "client_net": "127.0.0.0/24", "payment_id": "a\"b\r\nlast\u2028wins"} {
		if rec[key] != want {
			t.Errorf("%s = %v, want %v", key, rec[key], want)
		}
	}
	if _, ok := rec["ms"].(float64); !ok || len(rec["trace_id"].(string)) != 32 {
		t.Errorf("ms or trace id missing: %v", rec)
	}
	raw := log.buf.String()
	for _, secret := range []string{"secret", "DE89", "Bearer", "127.0.0.1"} {
		if strings.Contains(raw, secret) {
			t.Errorf("the log holds %q: %s", secret, raw)
		}
	}
	if strings.ContainsAny(strings.TrimSuffix(raw, "\n"), "\n\r\x1b") {
		t.Errorf("the log holds raw control characters: %q", raw)
	}
}

func TestPanicIsAProblemAndNothingMore(t *testing.T) { // C45
	log := newLines()
	registry := prometheus.NewRegistry()
	e := &Edge{Log: slog.New(slog.NewJSONHandler(log, nil)), Metrics: NewMetrics(registry)}
	server := serve(t, e, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			_, _ = io.WriteString(w, "half an ans")
			_ = http.NewResponseController(w).Flush()
		}
		panic("dsn=postgres://user:pass@db")
	})
	res := get(t, server.URL)
	p := problemOf(t, res)
	if res.StatusCode != 500 || p.Code != "internal_error" || strings.Contains(p.Detail, "postgres") {
		t.Errorf("got %d %+v", res.StatusCode, p)
	}
	if rec := log.wait(t, 1)[0]; rec["level"] != "ERROR" || !strings.Contains(rec["stack"].(string), "edge_test.go") || rec["trace_id"] != p.TraceID {
		t.Errorf("the log does not tell the panic: %v", rec)
	}
	late, err := http.Get(server.URL + "/late")
	if err == nil {
		_, err = io.ReadAll(late.Body)
		_ = late.Body.Close()
	}
	if err == nil {
		t.Error("an answer that broke in the middle looks complete")
	}
	if got := counter(t, registry, "rialto_http_panics_total"); got != 2 {
		t.Errorf("%v panics counted", got)
	}
}

func counter(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if strings.Contains(label.GetValue(), "secret") {
					t.Errorf("label %s holds a path: %s", label.GetName(), label.GetValue())
				}
			}
			if family.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestPathsNeverBecomeLabels(t *testing.T) {
	registry := prometheus.NewRegistry()
	e := &Edge{Metrics: NewMetrics(registry)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /p/{token}", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(e.Wrap("test", mux))
	defer server.Close()
	get(t, server.URL+"/p/secret-1")
	get(t, server.URL+"/secret-2")
	if got := counter(t, registry, "rialto_http_requests_total"); got != 2 {
		t.Errorf("%v requests counted", got)
	}
}

func TestUnknownMethodsAreRefused(t *testing.T) { // B32
	server := serve(t, &Edge{}, func(http.ResponseWriter, *http.Request) { t.Error("the room was reached") })
	for _, m := range []string{"TRACE", "OPTIONS", "CONNECT", "TRACK", "PROPFIND", "get"} {
		answer := raw(t, server, m+" / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 405 ") || !strings.Contains(answer, "Allow: GET, HEAD") || !strings.Contains(answer, "nosniff") {
			t.Errorf("%s: %.120q", m, answer)
		}
	}
}

// raw sends bytes as they are and returns all that comes back.
func raw(t *testing.T, server *httptest.Server, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(bufio.NewReader(conn)) // a reset after the answer is fine
	return string(answer)
}

func TestAmbiguousFramingIsRefused(t *testing.T) { // C09
	server := serve(t, &Edge{}, func(w http.ResponseWriter, r *http.Request) {
		body, err := ReadBody(r, 1000)
		if err != nil {
			WriteProblem(w, r, err)
			return
		}
		_, _ = fmt.Fprintf(w, "path=%s body=%s;", r.URL.Path, body)
	})
	const head = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for name, request := range map[string]string{
		"two lengths":            head + "Content-Length: 4\r\nContent-Length: 5\r\n\r\n{} {}" + smuggled,
		"length list":            head + "Content-Length: 2, 3\r\n\r\n{} " + smuggled,
		"signed length":          head + "Content-Length: +2\r\n\r\n{}" + smuggled,
		"unknown coding":         head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled,
		"two codings":            head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled,
		"space before colon":     head + "Content-Length : 2\r\n\r\n{}" + smuggled,
		"bare CR in a header":    head + "X-A: 1\rContent-Length: 2\r\n\r\n" + smuggled,
		"bad chunk size":         head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n" + smuggled,
		"chunk without its CRLF": head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n" + smuggled,
		"no host":                "POST /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n" + smuggled,
	} {
		answer := raw(t, server, request)
		if !strings.HasPrefix(answer, "HTTP/1.1 400 ") && !strings.HasPrefix(answer, "HTTP/1.1 501 ") || strings.Contains(answer, "smuggled") {
			t.Errorf("%s: %.200q", name, answer)
		}
	}
	// Length beside chunked: RFC 9112 §6.1 lets a server go by chunked if it
	// closes then; what must not happen is an answer to the rest.
	answer := raw(t, server, head+"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+smuggled)
	if n := strings.Count(answer, "HTTP/1.1 "); n != 1 || strings.Contains(answer, "smuggled") {
		t.Errorf("length beside chunked gave %d answers: %.300q", n, answer)
	}
}

func TestEveryAnswerCarriesSecurityHeaders(t *testing.T) {
	server := serve(t, &Edge{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
		case "/missing":
			WriteProblem(w, r, psd2.NotFound("payment"))
		default:
			panic("boom")
		}
	})
	for _, path := range []string{"/ok", "/missing", "/panic"} {
		res := get(t, server.URL+path)
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "same-origin", "Cache-Control": "no-store"} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "base-uri 'none'") {
			t.Errorf("%s: CSP is %q", path, csp)
		}
	}
	custom := httptest.NewRecorder()
	SecurityHeaders("default-src 'self'", http.NotFoundHandler()).ServeHTTP(custom, httptest.NewRequest(http.MethodGet, "/", nil))
	if got := custom.Header().Get("Content-Security-Policy"); got != "default-src 'self'; frame-ancestors 'none'" {
		t.Errorf("a page's CSP became %q", got)
	}
}

func TestProblemsSayOnlyWhatIsMeantForOutside(t *testing.T) { // C45
	secret := errors.New("pq: password authentication failed for user rialto")
	for _, tc := range []struct {
		err    error
		status int
		code   string
	}{
		{psd2.Invalid("amount", "amount_invalid", "the amount is wrong"), 400, "amount_invalid"},
		{psd2.Fail(psd2.CodeUnauthorized, "token_invalid", "no"), 401, "token_invalid"},
		{psd2.Fail(psd2.CodeForbidden, "scope_missing", "no"), 403, "scope_missing"},
		{fmt.Errorf("load: %w", psd2.NotFound("payment")), 404, "payment_not_found"},
		{psd2.Fail(psd2.CodeConflict, "x", "no"), 409, "x"},
		{psd2.Fail(psd2.CodeTooLarge, "x", "no"), 413, "x"},
		{psd2.Fail(psd2.CodeMediaType, "x", "no"), 415, "x"},
		{psd2.Fail(psd2.CodeUnprocessable, "x", "no"), 422, "x"},
		{&psd2.Error{Code: psd2.CodeRateLimited, Reason: "rate_limited", Message: "no", RetryAfter: 1100 * time.Millisecond, Err: secret}, 429, "rate_limited"},
		{&psd2.Error{Code: psd2.CodeUnavailable, Reason: "bank", Message: "no", Err: secret}, 503, "bank"},
		{&psd2.Error{Code: psd2.CodeInternal, Reason: "db", Message: secret.Error()}, 500, "internal_error"},
		{&psd2.Error{Code: "made_up", Reason: "db", Message: secret.Error()}, 500, "internal_error"},
		{secret, 500, "internal_error"},
	} {
		log := newLines()
		e := &Edge{Log: slog.New(slog.NewJSONHandler(log, nil))}
		w := httptest.NewRecorder()
		e.Wrap("test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { WriteProblem(w, r, tc.err) })).
			ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if strings.Contains(w.Body.String(), "pq:") {
			t.Errorf("%v leaks: %s", tc.err, w.Body)
		}
		p := problemOf(t, w.Result())
		if w.Code != tc.status || p.Code != tc.code || StatusOf(tc.err) != tc.status {
			t.Errorf("%v: %d %q", tc.err, w.Code, p.Code)
		}
		if retry := w.Header().Get("Retry-After"); (tc.status == 429) != (retry == "2") {
			t.Errorf("%v: Retry-After %q", tc.err, retry)
		}
		if rec := log.wait(t, 1)[0]; tc.status == 500 && !strings.Contains(rec["error"].(string), "pq:") {
			t.Errorf("the log does not tell the cause: %v", rec)
		}
	}
}
