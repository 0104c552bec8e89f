package psu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Credentials are what a payer knows and has. The JSON is that of
// /sandbox/personas and of new customers.
type Credentials struct {
	User       string    `json:"user"`
	Password   string    `json:"password"`
	TOTPSecret string    `json:"totp_secret"` // base32
	Accounts   []Account `json:"accounts"`
}

// Account is one of the payer's accounts.
type Account struct {
	IBAN         string `json:"iban"`
	Holder       string `json:"holder"`
	BalanceMinor int64  `json:"balance_minor"`
}

// Wish is what the payer does with the order.
type Wish struct {
	Account string // IBAN to pay from; "" takes what the page proposes
	Decline bool   // press the other button, on the first page that has it
	Cancel  bool   // it is the cancellation of an order that he confirms, or declines
	// Confirmed, if set, is called once, just before the form that pays is sent.
	Confirmed func()
}

// Outcome is where the walk ended.
type Outcome struct {
	// Location is the address outside the bank to which the bank sends the
	// payer. It is not opened.
	Location string
	// Exchanges counts requests to the bank.
	Exchanges int
}

// Failures of a walk. Refused carries the bank's own word for the problem.
var (
	ErrDeadEnd = errors.New("psu: the page leads nowhere")
	ErrLoop    = errors.New("psu: the bank's pages go round in circles")
)

// Refused is a bank's complaint about what the payer entered.
type Refused struct{ Problem string }

func (e *Refused) Error() string { return "psu: the bank refused: " + e.Problem }

// maxExchanges ends a walk that goes round in circles; an ordinary one has four.
const maxExchanges = 12

// Walk authorises (or declines) the order behind scaRedirect. client needs a
// cookie jar of its own for each payer; its redirect policy is not used.
func Walk(ctx context.Context, client *http.Client, scaRedirect string, c Credentials, w Wish, now func() time.Time) (Outcome, error) {
	start, err := url.Parse(scaRedirect)
	if err != nil {
		return Outcome{}, fmt.Errorf("psu: scaRedirect: %w", err)
	}
	if client.Jar == nil {
		return Outcome{}, errors.New("psu: the client has no cookie jar")
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	k := &walker{client: &own, start: start, c: c, w: w, now: now}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scaRedirect, nil)
	for err == nil && req != nil {
		req, err = k.step(req)
	}
	return k.out, err
}

type walker struct {
	client *http.Client
	start  *url.URL
	c      Credentials
	w      Wish
	now    func() time.Time
	out    Outcome
	later  int64 // how many TOTP steps ahead, after a code was used already
	told   bool
}

// step sends one request and prepares the next; nil ends the walk.
func (k *walker) step(req *http.Request) (*http.Request, error) {
	if k.out.Exchanges++; k.out.Exchanges > maxExchanges {
		return nil, ErrLoop
	}
	req.Header.Set("Accept", "text/html")
	res, err := k.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("psu: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("psu: %w", err)
	}
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		return k.follow(req, res)
	}
	p, err := parse(body)
	if err != nil {
		return nil, err
	}
	return k.answer(req, res.StatusCode, p)
}

// follow goes where a redirect leads, as long as it stays with the bank.
func (k *walker) follow(req *http.Request, res *http.Response) (*http.Request, error) {
	to, err := res.Location()
	if err != nil {
		return nil, ErrDeadEnd
	}
	if to.Scheme != k.start.Scheme || to.Host != k.start.Host {
		k.out.Location = to.String()
		return nil, nil
	}
	return http.NewRequestWithContext(req.Context(), http.MethodGet, to.String(), nil)
}

// answer fills in the page's form.
func (k *walker) answer(req *http.Request, code int, p page) (*http.Request, error) {
	if p.problem != "" {
		if p.problem != "used_code" || k.later > 0 {
			return nil, &Refused{Problem: p.problem}
		}
		k.later = 1 // a payer would wait for the next code; banks accept it a step early
	}
	if len(p.forms) == 0 {
		return nil, fmt.Errorf("%w (status %d)", ErrDeadEnd, code)
	}
	f := p.forms[0]
	values, action, err := k.fill(f)
	if err != nil {
		return nil, err
	}
	to, err := req.URL.Parse(action)
	if err != nil || to.Host != k.start.Host {
		return nil, ErrDeadEnd
	}
	next, err := http.NewRequestWithContext(req.Context(), http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		return nil, err
	}
	next.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return next, nil
}

// fill chooses a button and enters what the fields ask for.
func (k *walker) fill(f form) (url.Values, string, error) {
	b, ok := f.button(k.w.buttons())
	if !ok {
		return nil, "", ErrDeadEnd
	}
	values := url.Values{}
	for _, in := range f.inputs {
		v := in.value
		switch {
		case in.autocomplete == "username":
			v = k.c.User
		case in.autocomplete == "current-password":
			v = k.c.Password
		case in.autocomplete == "one-time-code" && !k.w.Decline:
			code, err := TOTP(k.c.TOTPSecret, k.now().Add(time.Duration(k.later)*totpPeriod))
			if err != nil {
				return nil, "", err
			}
			v = code
		case in.kind == "radio" && in.name == "account" && k.w.Account != "":
			if in.value != k.w.Account {
				continue
			}
		case (in.kind == "radio" || in.kind == "checkbox") && !in.checked:
			continue
		}
		if in.name != "" {
			values.Add(in.name, v)
		}
	}
	if b.name != "" {
		values.Set(b.name, b.value)
	}
	if b.value == "pay" && k.w.Confirmed != nil && !k.told {
		k.told = true
		k.w.Confirmed()
	}
	return values, firstOf(b.action, f.action), nil
}

// buttons are the values of those he presses, the one he likes best first.
func (w Wish) buttons() []string {
	switch {
	case w.Cancel && w.Decline:
		return []string{"keep"}
	case w.Cancel:
		return []string{"cancel", "login", ""}
	case w.Decline:
		return []string{"decline"}
	}
	return []string{"pay", "login", ""}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
