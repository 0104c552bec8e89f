package berlingroup

import (
	"context"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
)

// client sends single requests to one bank. banks/courier carries them and says
// whether the bank may have got one.
type client struct {
	line *courier.Line
	p    *profile
	log  *slog.Logger
	now  func() time.Time
}

func newClient(bankID string, p *profile, d banks.Deps) *client {
	line := courier.New(bankID, courier.Options{TLS: p.tls, ConnectTimeout: p.ConnectTimeout, Timeout: p.Timeout, IdleConnections: p.IdleConnections}, d)
	return &client{line: line, p: p, log: d.Log, now: d.Now}
}

// request is one call to the bank.
type request struct {
	what      string // for the log
	method    string
	url       *url.URL
	header    http.Header
	body      []byte // JSON unless xml or header says otherwise; nil for none
	xml       bool   // the body is XML
	foreign   bool   // to the authorisation server: not signed, without the profile's headers
	token     string // OAuth access token; "" for none
	requestID string
	traceID   string
}

// reply is a complete answer, whatever its status.
type reply struct {
	status int
	header http.Header
	json   []byte // the body if it says it is JSON, else nil
	xml    []byte // the same for XML
}

// do sends one request and reads the whole answer. The error says whether the
// bank may have received it.
func (c *client) do(ctx context.Context, r request) (*reply, *banks.Error) {
	got, failure := c.line.Do(ctx, courier.Request{What: r.what, Method: r.method, URL: r.url, Header: c.header(r), Body: r.body,
		RequestID: r.requestID, TraceID: r.traceID,
		Seal: func(h http.Header) error { return c.p.sign(r, h, c.now()) }})
	if failure != nil {
		return nil, failure
	}
	rep := &reply{status: got.Status, header: got.Header}
	switch contentType := got.Header.Get("Content-Type"); {
	case isKind(contentType, "json"):
		rep.json = got.Body
	case isKind(contentType, "xml"):
		rep.xml = got.Body
	}
	return rep, nil
}

func isKind(contentType, kind string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/"+kind || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+"+kind))
}

// header is what the standard and the profile want beside what every request
// carries.
func (c *client) header(r request) http.Header {
	h := http.Header{}
	if !r.foreign {
		h = c.p.fixed.Clone()
	}
	for name, values := range r.header {
		h[name] = values
	}
	h.Set("Accept", "application/json")
	if c.p.xml && !r.foreign {
		h.Set("Accept", "application/json, application/xml;q=0.9")
	}
	switch {
	case r.xml:
		h.Set("Content-Type", "application/xml")
	case r.body != nil && h.Get("Content-Type") == "":
		h.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		h.Set("Authorization", "Bearer "+r.token)
	}
	return h
}

// headerText drops what no header value may hold and bounds its length; a
// payer's browser decides what a user agent contains.
func headerText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s[:min(len(s), 1024)])
}
