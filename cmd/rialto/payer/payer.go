// Package payer is a person with a browser and a bank login, as a program: it
// follows the hosted page's own forms, authorises at the bank's pages and comes
// back. It runs no JavaScript, so what it does works without. The demo, the
// benchmark and the kill tests pay with it.
package payer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
)

// Payer pays one hosted page.
type Payer struct {
	Client      *http.Client // with a jar of his own, see NewClient
	Bank        string       // id of the bank he chooses
	Credentials psu.Credentials
	Wish        psu.Wish
	Now         func() time.Time
	// NeverReturns makes him close the tab at the bank.
	NeverReturns bool
	// Stays makes him wait, for up to 15 seconds, on a page that says that the
	// bank has not answered yet.
	Stays bool
	// Step, if set, hears what each step took.
	Step func(name string, took time.Duration)
}

// Result is the last page he saw.
type Result struct {
	URL       string // of the status page
	Situation string // as the page names it, e.g. "settled"
	BackURL   string // the merchant's page, as the page offers it
	AtBank    bool   // whether he was sent to the bank
}

// ErrNotPossible says that the page offered no way on.
var ErrNotPossible = errors.New("payer: the page leads nowhere")

// NewClient makes a client for one payer. It knows that *.localhost is
// loopback, as browsers do, and keeps Secure cookies there. transport may be
// shared between payers; nil makes one.
func NewClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = &http.Transport{DialContext: DialLoopback}
	}
	jar, _ := cookiejar.New(nil) // it never fails
	return &http.Client{
		Transport:     transport,
		Jar:           loopbackJar{jar},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       30 * time.Second,
	}
}

// DialLoopback dials *.localhost at 127.0.0.1 (RFC 6761 §6.3) and everything
// else as usual.
func DialLoopback(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// loopbackJar treats http on *.localhost as secure, as browsers do.
type loopbackJar struct{ http.CookieJar }

func (j loopbackJar) SetCookies(u *url.URL, c []*http.Cookie) { j.CookieJar.SetCookies(secure(u), c) }
func (j loopbackJar) Cookies(u *url.URL) []*http.Cookie       { return j.CookieJar.Cookies(secure(u)) }

func secure(u *url.URL) *url.URL {
	h := u.Hostname()
	if u.Scheme != "http" || h != "localhost" && !strings.HasSuffix(h, ".localhost") && h != "127.0.0.1" {
		return u
	}
	s := *u
	s.Scheme = "https"
	return &s
}

// maxMoves bounds how often he presses something.
const maxMoves = 12

// Pay goes on from whatever page the address shows, to the bank and back,
// until a page offers nothing more to do.
func (p *Payer) Pay(ctx context.Context, address string) (Result, error) {
	at, err := p.timed("hosted page", func() (*page, error) { return p.get(ctx, address) })
	bank := false
	for range maxMoves {
		if err != nil {
			break
		}
		var moved bool
		if at, moved, err = p.move(ctx, at, &bank); !moved || at == nil {
			break
		}
	}
	for wait := 0; err == nil && p.Stays && at.undecided() && wait < 60; wait++ {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(250 * time.Millisecond): // the page loads itself again
			at, err = p.get(ctx, at.url.String())
		}
	}
	r := at.result()
	r.AtBank = bank
	if err == nil && r.Situation == "" && !p.NeverReturns {
		err = fmt.Errorf("%w: %s", ErrNotPossible, at.named())
	}
	return r, err
}

// move does what the page asks for, if anything.
func (p *Payer) move(ctx context.Context, at *page, bank *bool) (next *page, moved bool, err error) {
	if f := at.form("consent"); f != nil {
		toBank := ""
		next, err = p.timed("consent", func() (pg *page, err error) {
			toBank, pg, err = p.leave(ctx, f)
			return pg, err
		})
		if toBank == "" || err != nil {
			return next, true, err
		}
		*bank = true
		next, err = p.atBank(ctx, toBank)
		return next, true, err
	}
	if f := at.prompt(); f != nil {
		next, err = p.timed("answer", func() (*page, error) { return p.answer(ctx, f) })
		return next, true, err
	}
	if f := at.formWithButton("bank", p.Bank); f != nil {
		next, err = p.timed("choose bank", func() (*page, error) { return p.submit(ctx, f) })
		return next, true, err
	}
	if link := at.link("to-bank"); link != "" && !*bank {
		*bank = true
		next, err = p.atBank(ctx, link)
		return next, true, err
	}
	for _, name := range []string{"retry", "others"} {
		if link := at.link(name); link != "" && !*bank {
			next, err = p.get(ctx, link)
			return next, true, err
		}
	}
	return at, false, nil
}

// answer says what his bank asks through the hosted page.
func (p *Payer) answer(ctx context.Context, f *form) (*page, error) {
	said, err := p.Credentials.Say(f.asks, f.choices, p.Now())
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"psu_id": said.User, "password": said.Password, "code": said.Code} {
		if slices.Contains(f.fields, name) {
			f.values.Set(name, value)
		}
	}
	if said.Method != "" {
		f.values.Set("method", said.Method)
	}
	return p.submit(ctx, f)
}

// maxVisits bounds how often a bank may call him back: a login before the order
// is one visit, confirming it another.
const maxVisits = 3

// atBank authorises at the bank and comes back; where the hub sends him on to
// the bank's next page, he goes.
func (p *Payer) atBank(ctx context.Context, link string) (*page, error) {
	for range maxVisits {
		back := ""
		_, err := p.timed("bank", func() (*page, error) {
			o, err := psu.Walk(ctx, p.Client, link, p.Credentials, p.Wish, p.Now)
			back = o.Location
			return nil, err
		})
		if err != nil || p.NeverReturns {
			return nil, err
		}
		bank, err := url.Parse(link)
		if err != nil {
			return nil, err
		}
		link = ""
		at, err := p.timed("return", func() (pg *page, err error) {
			link, pg, err = p.comeBack(ctx, back, bank.Host)
			return pg, err
		})
		if err != nil || link == "" {
			return at, err
		}
	}
	return nil, fmt.Errorf("%w: the bank sends him round in circles", ErrNotPossible)
}

// comeBack opens the address the bank sent him to. again is where the hub sends
// him when that is the bank once more; else he sees a page.
func (p *Payer) comeBack(ctx context.Context, address, bank string) (again string, _ *page, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", nil, err
	}
	res, err := p.Client.Do(req)
	if err != nil {
		return "", nil, err
	}
	if to, ok := redirect(res); ok && to.Host == bank {
		drain(res)
		return to.String(), nil, nil
	}
	pg, err := p.follow(ctx, res)
	return "", pg, err
}

// Look reads a status page again.
func (p *Payer) Look(ctx context.Context, statusURL string) (Result, error) {
	pg, err := p.get(ctx, statusURL)
	return pg.result(), err
}

func (p *Payer) timed(name string, f func() (*page, error)) (*page, error) {
	began := p.Now()
	pg, err := f()
	if p.Step != nil {
		p.Step(name, p.Now().Sub(began))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return pg, err
}

// leave submits the consent; toBank is where the hub sends the payer, empty
// when it kept him, and then the page is what he sees instead.
func (p *Payer) leave(ctx context.Context, f *form) (toBank string, _ *page, err error) {
	if slices.Contains(f.fields, "psu_id") { // a bank that wants to know its customer before he comes
		f.values.Set("psu_id", p.Credentials.User)
	}
	if slices.Contains(f.fields, "iban") && len(p.Credentials.Accounts) > 0 {
		f.values.Set("iban", p.Credentials.Accounts[0].IBAN)
	}
	res, err := p.send(ctx, f)
	if err != nil {
		return "", nil, err
	}
	if to, ok := redirect(res); ok && to.Host != f.action.Host {
		drain(res)
		return to.String(), nil, nil
	}
	pg, err := p.follow(ctx, res)
	return "", pg, err
}

func (p *Payer) get(ctx context.Context, u string) (*page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	res, err := p.Client.Do(req)
	if err != nil {
		return nil, err
	}
	return p.follow(ctx, res)
}

func (p *Payer) submit(ctx context.Context, f *form) (*page, error) {
	res, err := p.send(ctx, f)
	if err != nil {
		return nil, err
	}
	return p.follow(ctx, res)
}

func (p *Payer) send(ctx context.Context, f *form) (*http.Response, error) {
	body := f.values.Encode()
	if f.method == http.MethodGet {
		u := *f.action
		u.RawQuery, body = body, ""
		f.action = &u
	}
	req, err := http.NewRequestWithContext(ctx, f.method, f.action.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if f.method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", f.action.Scheme+"://"+f.action.Host)
	}
	return p.Client.Do(req)
}

// follow follows redirects, ten at most, and reads the page at the end.
func (p *Payer) follow(ctx context.Context, res *http.Response) (*page, error) {
	for range 10 {
		to, ok := redirect(res)
		if !ok {
			return read(res)
		}
		drain(res)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
		if err != nil {
			return nil, err
		}
		if res, err = p.Client.Do(req); err != nil {
			return nil, err
		}
	}
	drain(res)
	return nil, errors.New("payer: too many redirects")
}

func redirect(res *http.Response) (*url.URL, bool) {
	if res.StatusCode < 300 || res.StatusCode > 399 {
		return nil, false
	}
	to, err := res.Location()
	return to, err == nil
}

func drain(res *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)) // for keep-alive only
	_ = res.Body.Close()
}

func read(res *http.Response) (*page, error) {
	defer func() { _ = res.Body.Close() }()
	pg, err := parse(res.Request.URL, res.StatusCode, io.LimitReader(res.Body, 1<<20))
	if err == nil && (pg.status >= 500 || pg.status == http.StatusTooManyRequests) {
		err = fmt.Errorf("payer: status %d", pg.status)
	}
	return pg, err
}
