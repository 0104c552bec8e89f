package bankstest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// ChannelChecks lists the behaviour every banks.Channel must show.
func ChannelChecks() []ChannelCheck {
	return []ChannelCheck{
		{"info-constant", "ChannelInfo is constant and names the account", channelInfo},
		{"one-request", "one payment is exactly one request that could move money", payOnce},
		{"amounts-exact", "amounts from 0.01 to 999,999,999.99 reach the bank exactly, and what is beyond never does", payExactly},
		{"parallel", "transfers sent at once are not mixed up", payParallel},
		{"refused-connection", "a refused connection is unavailable", payRefusedConnection},
		{"lost-request", "a connection that ends before the bank got the transfer is uncertain, and nothing is repeated", payLostRequest},
		{"lost-answer", "a lost answer is uncertain, nothing is repeated, and Find tells what became of it", payLostAnswer},
		{"stale-connection", "a used connection that dies under a transfer is uncertain, and nothing is repeated", payStale},
		{"server-errors", "a 5xx is never repeated and never a refusal", payServerErrors},
		{"busy", "Retry-After reaches the caller", payBusy},
		{"redirected", "an HTTP redirect is not followed", payRedirected},
		{"garbage", "garbage, HTML and half answers are uncertain", payGarbage},
		{"changed-answer", "an answer with one byte changed is uncertain", payChanged},
		{"replayed-answer", "the good answer to another transfer is uncertain", payReplayed},
		{"huge", "an endless answer is not read to its end", payHuge},
		{"cancel-context", "a call ends when its context does, and is uncertain", payCancelled},
		{"duplicates", "within the declared window the same references never pay twice, and the second answer is no refusal", payTwice},
		{"wrong-order", "a transfer that no bank could take is invalid and never sent", payWrong},
		{"bookings", "every booking is told once, by page and cursor", bookings},
		{"balance", "the balance follows the bookings", balance},
		{"recall", "a recall is answered, and money that comes back is a booking of kind return", recall},
	}
}

func newUUID() string { return psd2.NewUUID(time.Now(), rand.Reader) }

func channelInfo(_ context.Context, e *ChannelEnv) error {
	a, b := e.Channel.ChannelInfo(), e.Channel.ChannelInfo()
	switch {
	case a != b:
		return broken("two calls of ChannelInfo differ")
	case a.ID == "" || a.Account.IBAN == "" || a.Account.Name == "":
		return broken("ChannelInfo lacks the id or the account")
	case a.Dedup < 0:
		return broken("the dedup window is negative")
	}
	return nil
}

// paid sends a transfer and requires it to be booked as it was ordered.
func (e *ChannelEnv) paid(ctx context.Context, minor int64) (banks.Transfer, error) {
	t := e.New(minor)
	s, err := e.Pay(ctx, t)
	if err != nil {
		return t, err
	}
	if st := psd2.StandingOf(s.Status); st != psd2.StandingExecuted && st != psd2.StandingSettled {
		return t, broken("a good transfer ended as " + s.Status + " " + s.Reason)
	}
	held, err := e.held(ctx, t.EndToEndID, 1)
	if err != nil {
		return t, err
	}
	if h := held[0]; !h.Booked || h.Amount != t.Amount || h.Creditor != t.Creditor.IBAN {
		return t, broken("the bank's booking is not the transfer")
	}
	return t, nil
}

func payOnce(ctx context.Context, e *ChannelEnv) error {
	if _, err := e.paid(ctx, 1234); err != nil {
		return err
	}
	if n := e.Proxy.Creations(); n != 1 {
		return broken(fmt.Sprintf("%d requests could have moved money", n))
	}
	return nil
}

func payExactly(ctx context.Context, e *ChannelEnv) error {
	for _, minor := range []int64{1, 9, 10, 99, 100, 101, 2999, 123456789, 90071992547, psd2.MaxSCTInstMinor} {
		t := e.New(minor)
		if _, err := e.Pay(ctx, t); err != nil {
			return err
		}
		held, err := e.held(ctx, t.EndToEndID, 1)
		if err != nil {
			return err
		}
		if held[0].Amount != t.Amount {
			return broken(fmt.Sprintf("%s arrived as %s", t.Amount.Decimal(), held[0].Amount.Decimal()))
		}
	}
	for _, minor := range []int64{0, -1, psd2.MaxSCTInstMinor + 1} {
		if _, err := e.Pay(ctx, e.New(minor)); wantKind(err, banks.BadRequest) != nil {
			return wantKind(err, banks.BadRequest)
		}
	}
	return nil
}

func payParallel(ctx context.Context, e *ChannelEnv) error {
	const n = 16
	transfers, errs := make([]banks.Transfer, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		transfers[i] = e.New(int64(100 + i))
		wg.Go(func() { _, errs[i] = e.Pay(ctx, transfers[i]) })
	}
	wg.Wait()
	for i := range n {
		if errs[i] != nil {
			return errs[i]
		}
		held, err := e.held(ctx, transfers[i].EndToEndID, 1)
		if err != nil {
			return err
		}
		if held[0].Amount != transfers[i].Amount {
			return broken("two transfers were mixed up")
		}
	}
	return nil
}

func payRefusedConnection(ctx context.Context, e *ChannelEnv) error {
	var d net.Dialer
	taken, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(e.Proxy.URL, "http://"))
	if err != nil {
		return err
	}
	defer func() { _ = taken.Close() }()
	if e.Channel, err = e.Target.New("http://"+taken.LocalAddr().String()+strings.TrimPrefix(e.base, e.Proxy.URL), e.log); err != nil {
		return err
	}
	_, err = e.Pay(ctx, e.New(1000))
	return wantKind(err, banks.Unavailable)
}

// once sends one transfer through a fault and requires one request, an
// uncertain outcome, and a number of orders at the bank.
func (e *ChannelEnv) once(ctx context.Context, f Fault, held int) (banks.Transfer, error) {
	e.Proxy.Clear()
	e.Proxy.Set(f)
	t := e.New(1100)
	_, err := e.Pay(ctx, t)
	if err := wantKind(err, banks.Uncertain); err != nil {
		return t, err
	}
	if n := e.Proxy.Creations(); n != 1 {
		return t, broken(fmt.Sprintf("one call became %d requests", n))
	}
	e.Proxy.Clear()
	_, err = e.held(ctx, t.EndToEndID, held)
	return t, err
}

func payLostRequest(ctx context.Context, e *ChannelEnv) error {
	for _, partial := range []bool{false, true} {
		t, err := e.once(ctx, Fault{CutBefore: true, Partial: partial}, 0)
		if err != nil {
			return err
		}
		var b *banks.Error
		if _, err := e.Find(ctx, t); !errors.As(err, &b) || b.Kind != banks.NotFound && b.Kind != banks.Uncertain {
			return broken(fmt.Sprintf("a transfer the bank never got was found: %v", err))
		}
	}
	return nil
}

func payLostAnswer(ctx context.Context, e *ChannelEnv) error {
	for _, partial := range []bool{false, true} {
		t, err := e.once(ctx, Fault{CutAfter: true, Partial: partial}, 1)
		if err != nil {
			return err
		}
		s, err := e.Find(ctx, t)
		if err != nil {
			return err
		}
		if st := psd2.StandingOf(s.Status); st != psd2.StandingExecuted && st != psd2.StandingSettled {
			return broken("the bank executed the transfer and Find says " + s.Status)
		}
		if _, err := e.held(ctx, t.EndToEndID, 1); err != nil {
			return err
		}
	}
	return nil
}

func payStale(ctx context.Context, e *ChannelEnv) error {
	for _, f := range []struct {
		fault Fault
		held  int
	}{{Fault{CutBefore: true}, 0}, {Fault{CutAfter: true}, 1}, {Fault{Reset: true}, 0}} {
		e.Proxy.Clear()
		if _, err := e.Pay(ctx, e.New(1000)); err != nil {
			return err
		}
		e.Proxy.Set(f.fault)
		before, t := e.Proxy.Creations(), e.New(1100)
		_, err := e.Pay(ctx, t)
		if err := wantKind(err, banks.Uncertain); err != nil {
			return err
		}
		if e.Proxy.Creations() != before+1 || !e.Proxy.Reused() {
			return broken("a payment was repeated, or the channel keeps no connection alive")
		}
		if _, err := e.held(ctx, t.EndToEndID, f.held); err != nil {
			return err
		}
	}
	return nil
}

func payServerErrors(ctx context.Context, e *ChannelEnv) error {
	for _, status := range []int{500, 501, 502, 504, 507, 599, 400, 401, 404, 409, 204, 206} {
		if _, err := e.once(ctx, Fault{Answer: answer(status, "text/html", "<html>oops</html>")}, 0); err != nil {
			return fmt.Errorf("%d: %w", status, err)
		}
	}
	return nil
}

func payBusy(ctx context.Context, e *ChannelEnv) error {
	for _, status := range []int{429, 503} {
		e.Proxy.Clear()
		e.Proxy.Set(Fault{Answer: answer(status, "text/plain", "", "Retry-After", "7")})
		_, err := e.Pay(ctx, e.New(1000))
		var b *banks.Error
		if !errors.As(err, &b) || b.Kind != banks.Unavailable && b.Kind != banks.Uncertain || b.RetryAfter != 7*time.Second || b.HTTPStatus != status {
			return broken(fmt.Sprintf("%d with Retry-After became %v", status, err))
		}
		if n := e.Proxy.Creations(); n != 1 {
			return broken(fmt.Sprintf("one call became %d requests", n))
		}
	}
	return nil
}

func payRedirected(ctx context.Context, e *ChannelEnv) error {
	var visits atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		if _, err := e.once(ctx, Fault{Answer: answer(status, "text/plain", "", "Location", other.URL)}, 0); err != nil {
			return fmt.Errorf("%d: %w", status, err)
		}
	}
	if visits.Load() != 0 {
		return broken("the channel followed a redirect")
	}
	return nil
}

func payGarbage(ctx context.Context, e *ChannelEnv) error {
	for i, body := range []string{"", "null", "{}", "<", "<a/>", "<!doctype html><title>Maintenance</title>", "\x00\xff\xfe",
		`<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "b">]><Document>&a;</Document>`} {
		for _, contentType := range []string{"application/xml", "text/html", ""} {
			if _, err := e.once(ctx, Fault{Answer: answer(200, contentType, body)}, 0); err != nil {
				return fmt.Errorf("body %d as %q: %w", i, contentType, err)
			}
		}
	}
	return nil
}

// payChanged changes one byte of the bank's answer, or one word of it, in the
// middle and at both ends.
func payChanged(ctx context.Context, e *ChannelEnv) error {
	for _, at := range []func(int) int{func(int) int { return 0 }, func(n int) int { return n / 2 }, func(n int) int { return n - 1 }} {
		flip := func(body []byte) []byte {
			if len(body) > 0 {
				body = bytes.Clone(body)
				body[at(len(body))] ^= 1
			}
			return body
		}
		if _, err := e.once(ctx, Fault{Rewrite: flip}, 1); err != nil {
			return err
		}
	}
	reject := func(body []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("ACCC"), []byte("RJCT")), []byte("ACSC"), []byte("RJCT"))
	}
	_, err := e.once(ctx, Fault{Rewrite: reject}, 1)
	return err
}

// payReplayed answers a transfer with what the bank truly said of another one,
// signature and all.
func payReplayed(ctx context.Context, e *ChannelEnv) error {
	rec := &recorder{RoundTripper: e.Proxy.rt}
	e.Proxy.rt = rec
	_, err := e.Pay(ctx, e.New(1000))
	if e.Proxy.rt = rec.RoundTripper; err != nil {
		return err
	}
	_, err = e.once(ctx, Fault{Answer: rec.answer}, 0)
	return err
}

// recorder keeps the last answer that passed.
type recorder struct {
	http.RoundTripper
	status int
	header http.Header
	body   []byte
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	r.status, r.header = resp.StatusCode, resp.Header
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(r.body))
	return resp, nil
}

func (r *recorder) answer(w http.ResponseWriter, _ *http.Request) {
	for name, values := range r.header {
		if name != "Content-Length" && name != "Connection" && name != "Date" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body)
}

func payHuge(ctx context.Context, e *ChannelEnv) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	endless := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		blank := bytes.Repeat([]byte(" "), 1<<16)
		for range 4096 { // 256 MiB, more than any limit
			if _, err := w.Write(blank); err != nil {
				return
			}
		}
	}
	_, err := e.once(ctx, Fault{Answer: endless}, 0)
	return err
}

func payCancelled(ctx context.Context, e *ChannelEnv) error {
	return inTime(ctx, Fault{Hold: true}, func(short context.Context, f Fault) error {
		e.Proxy.Set(f)
		_, err := e.Pay(short, e.New(1000))
		return wantKind(err, banks.Uncertain)
	})
}

// payTwice does on purpose what the hub never does.
func payTwice(ctx context.Context, e *ChannelEnv) error {
	if e.Channel.ChannelInfo().Dedup == 0 {
		return Skip("the channel declares no window")
	}
	t, err := e.paid(ctx, 900)
	if err != nil {
		return err
	}
	second, third := t, t
	second.RequestID = newUUID()
	third.RequestID, third.MessageID = newUUID(), e.New(900).MessageID
	for _, again := range []banks.Transfer{second, third} {
		_, err := e.Pay(ctx, again)
		if err := wantKind(err, banks.Uncertain); err != nil {
			return err
		}
		if _, err := e.held(ctx, t.EndToEndID, 1); err != nil {
			return err
		}
	}
	return nil
}

func payWrong(ctx context.Context, e *ChannelEnv) error {
	for name, spoil := range map[string]func(*banks.Transfer){
		"currency":        func(t *banks.Transfer) { t.Amount.Currency = "USD" },
		"payee account":   func(t *banks.Transfer) { t.Creditor.IBAN = "DE00370400440532013000" },
		"no payee name":   func(t *banks.Transfer) { t.Creditor.Name = " " },
		"hidden name":     func(t *banks.Transfer) { t.Creditor.Name = "Anna\u202eretsuM" },
		"message id":      func(t *banks.Transfer) { t.MessageID = "/x" },
		"long message id": func(t *banks.Transfer) { t.MessageID = strings.Repeat("x", 36) },
		"end to end id":   func(t *banks.Transfer) { t.EndToEndID = "NOTPROVIDED" },
		"no end to end":   func(t *banks.Transfer) { t.EndToEndID = "" },
		"remittance":      func(t *banks.Transfer) { t.Remittance = strings.Repeat("x", 141) },
		"entity":          func(t *banks.Transfer) { t.Remittance = "<x>" },
		"request id":      func(t *banks.Transfer) { t.RequestID = "1" },
	} {
		t := e.New(1000)
		spoil(&t)
		_, err := e.Pay(ctx, t)
		if err := wantKind(err, banks.BadRequest); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if n := e.Proxy.Requests(); n != 0 {
		return broken(fmt.Sprintf("%d requests were sent", n))
	}
	return nil
}
