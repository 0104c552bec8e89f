package psu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// ErrNothingAsked says that the bank's app shows nothing to confirm.
var ErrNothingAsked = errors.New("psu: the bank's app asks nothing")

// Confirm answers what the bank's app asks on the customer's phone (decoupled):
// the oldest request there is. phone is the address of the app's page.
func Confirm(ctx context.Context, client *http.Client, phone string, w Wish) error {
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, phone, nil)
	if err != nil {
		return fmt.Errorf("psu: phone: %w", err)
	}
	p, _, err := visit(&own, req)
	if err != nil {
		return err
	}
	k := &walker{w: w}
	for _, f := range p.forms {
		values, action, err := k.fill(f)
		if err != nil {
			continue // a form that asks something else
		}
		return send(ctx, &own, req.URL, action, values)
	}
	return ErrNothingAsked
}

// send posts a form and requires that the bank took it.
func send(ctx context.Context, client *http.Client, page *url.URL, action string, values url.Values) error {
	to, err := page.Parse(action)
	if err != nil || to.Host != page.Host {
		return ErrDeadEnd
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		return fmt.Errorf("psu: phone: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	after, status, err := visit(client, req)
	switch {
	case err != nil:
		return err
	case after.problem != "":
		return &Refused{Problem: after.problem}
	case status != http.StatusSeeOther:
		return fmt.Errorf("%w (status %d)", ErrDeadEnd, status)
	}
	return nil
}

// visit makes one request and reads the page.
func visit(client *http.Client, req *http.Request) (page, int, error) {
	req.Header.Set("Accept", "text/html")
	res, err := client.Do(req)
	if err != nil {
		return page{}, 0, fmt.Errorf("psu: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return page{}, 0, fmt.Errorf("psu: %w", err)
	}
	p, err := parse(body)
	return p, res.StatusCode, err
}
