package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

const (
	maxAnswer  = 64 << 10 // bytes of an answer that are read
	keptAnswer = 200      // and of those how many are kept of a failure
	// headerVerdict lets an endpoint say more than a status can: "disable" (no
	// more deliveries at all) or "abort-message" (not this one again).
	headerVerdict = "webhook-delivery"
	userAgent     = "Rialto-Webhooks/1"
)

// outcome is how one try ended.
type outcome struct {
	at      time.Time
	took    time.Duration
	status  int
	err     string        // one of a few words; empty when delivered
	answer  []byte        // beginning of a failure's body
	after   time.Duration // Retry-After
	abort   bool          // never try this one again
	disable string        // reason to disable the endpoint

	overloaded bool // it says that it cannot keep up
	ours       bool // it failed on our side: no fault of the endpoint's
}

func (o *outcome) delivered() bool { return o.err == "" }

// idleEndpoints is for how many endpoints at one host, each using all its slots,
// connections are kept alive: merchants often share a platform's host.
const idleEndpoints = 16

// newClient makes the client of all deliveries: connections are kept alive; no
// redirects, no proxy from the environment, no transparent decompression.
func newClient(s *Service) *http.Client {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if s.deps.Transport != nil {
		return &http.Client{CheckRedirect: stay, Transport: s.deps.Transport}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.deps.Roots, ClientSessionCache: tls.NewLRUClientSessionCache(1024)}
	if s.certificate != nil {
		config.GetClientCertificate = s.certificate.get
	}
	return &http.Client{
		CheckRedirect: stay,
		Transport: &http.Transport{
			DialContext: s.guard.dial, DisableCompression: true, MaxIdleConnsPerHost: idleEndpoints * s.config.Slots, MaxIdleConns: 4096,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 32 << 10,
			TLSClientConfig: config,
		},
	}
}

// send makes one try.
func (s *Service) send(ctx context.Context, client *http.Client, e *endpoint, j *job) outcome {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	now := s.deps.Now()
	out := outcome{at: now}
	request, err := s.request(ctx, e, j, now)
	if err != nil {
		s.deps.Log.Error("webhooks: cannot sign", "event", j.row.EventID, "cause", err.Error())
		out.err, out.ours = "internal", true
		return out
	}
	if j.row.Attempts == 0 {
		s.metrics.latency.Observe(now.Sub(j.happened).Seconds())
	}
	response, err := client.Do(request)
	if err != nil {
		out.err, out.ours = classify(err)
	} else {
		out.read(response, now)
	}
	out.took = s.deps.Now().Sub(now)
	s.metrics.observe(&out)
	return out
}

// request signs anew: the time is part of what is signed.
func (s *Service) request(ctx context.Context, e *endpoint, j *job, now time.Time) (*http.Request, error) {
	id := j.row.EventID
	content := verify.Content(id, now, j.body)
	key, err := s.deps.Keys.Signer(jose.ES256, now)
	if err != nil {
		return nil, err
	}
	jws, err := jose.SignDetached(key, content, now)
	if err != nil {
		return nil, err
	}
	var list strings.Builder
	sign := func(signature string) {
		if list.Len() > 0 {
			list.WriteByte(' ')
		}
		list.WriteString(signature)
	}
	for _, k := range e.secrets {
		if k.signs(now) {
			sign(verify.SignV1(k.key, id, now, j.body))
		}
	}
	for _, k := range e.private {
		if k.signs(now) {
			sign(verify.SignV1a(k.key, id, now, j.body))
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url.String(), bytes.NewReader(j.body))
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {userAgent},
		"Rialto-Version": {e.Version}, "Webhook-Id": {id}, "Webhook-Timestamp": {timestamp(now)}, http.CanonicalHeaderKey(verify.HeaderJWS): {jws},
	}
	if list.Len() > 0 {
		request.Header["Webhook-Signature"] = []string{list.String()}
	}
	return request, nil
}

// read judges an answer. Its body is read only to use the connection again,
// and no further than maxAnswer.
func (o *outcome) read(r *http.Response, now time.Time) {
	defer r.Body.Close()
	o.status = r.StatusCode
	ok := r.StatusCode >= 200 && r.StatusCode < 300
	if !ok {
		first := make([]byte, keptAnswer)
		n, _ := io.ReadFull(r.Body, first) // a short or broken body is as good
		o.answer = printable(first[:n])
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxAnswer)) // the status has decided already
	switch r.Header.Get(headerVerdict) {
	case "disable":
		o.disable = ReasonAsked
	case "abort-message":
		o.abort = true
	}
	switch {
	case ok && o.disable == "":
		o.abort = false
		return
	case ok: // received, but no more
		return
	case r.StatusCode >= 300 && r.StatusCode < 400:
		o.err = "redirect"
		return
	}
	o.err = "status"
	o.after = retryAfter(r.Header, now)
	switch r.StatusCode {
	case http.StatusGone:
		o.disable, o.abort = ReasonGone, true
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		o.overloaded = true
	}
}

// classify says in a word why there is no answer, and whether that is ours to
// mend. The cause itself could name addresses inside a network.
func classify(err error) (word string, ours bool) {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.Is(err, errRefused):
		return "address_not_allowed", false
	case errors.Is(err, errProxy):
		return "proxy", true
	case errors.As(err, &dns):
		return "name_not_found", false
	case errors.As(err, &certificate), errors.As(err, &record):
		return "tls", false
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "timeout", false
	case errors.Is(err, context.Canceled):
		return "stopped", true
	}
	return "connection", false
}

// printable keeps ASCII letters, digits, signs and spaces: what is shown of an
// answer can steer neither a terminal nor a page.
func printable(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, b)
}

func timestamp(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
