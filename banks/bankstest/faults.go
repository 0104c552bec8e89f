package bankstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// answer is a fixed answer of the proxy.
func answer(status int, contentType, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func every(*http.Request) bool { return true }

// onlyOnce sends one order through a fault and requires one request and a kind
// of error.
func (e *Env) onlyOnce(ctx context.Context, f Fault, kind banks.Kind) (banks.Order, error) {
	e.Proxy.Clear()
	e.Proxy.Set(f)
	o := e.NewOrder(1100)
	_, err := e.Initiate(ctx, o)
	if err := wantKind(err, kind); err != nil {
		return o, err
	}
	if n := e.Proxy.Creations(); n != 1 {
		return o, broken(fmt.Sprintf("one call became %d requests", n))
	}
	return o, nil
}

// refusedConnection uses a port that is taken by the end of a connection: nobody
// listens there, and nobody else can begin to.
func refusedConnection(ctx context.Context, e *Env) error {
	var d net.Dialer
	taken, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(e.Proxy.URL, "http://"))
	if err != nil {
		return err
	}
	defer taken.Close()
	if e.Bank, err = e.New("http://"+taken.LocalAddr().String()+strings.TrimPrefix(e.base, e.Proxy.URL), e.log); err != nil {
		return err
	}
	_, err = e.Initiate(ctx, e.NewOrder(1000))
	return wantKind(err, banks.Unavailable)
}

func lostRequest(ctx context.Context, e *Env) error {
	for _, partial := range []bool{false, true} {
		o, err := e.onlyOnce(ctx, Fault{CutBefore: true, Partial: partial}, banks.Uncertain)
		if err != nil {
			return err
		}
		if _, err := e.held(ctx, o.EndToEndID, 0); err != nil {
			return err
		}
	}
	return nil
}

func lostAnswer(ctx context.Context, e *Env) error {
	for _, partial := range []bool{false, true} {
		o, err := e.onlyOnce(ctx, Fault{CutAfter: true, Partial: partial}, banks.Uncertain)
		if err != nil {
			return err
		}
		if _, err := e.held(ctx, o.EndToEndID, 1); err != nil {
			return err
		}
	}
	return nil
}

// staleConnection is the case in which HTTP clients like to help: a connection
// that has worked ends without a byte of an answer.
func staleConnection(ctx context.Context, e *Env) error {
	for _, f := range []Fault{{CutBefore: true}, {CutAfter: true}, {Reset: true}} {
		e.Proxy.Clear()
		if _, err := e.Initiate(ctx, e.NewOrder(1000)); err != nil {
			return err
		}
		o, err := e.onlyOnce(ctx, f, banks.Uncertain)
		if err != nil {
			return err
		}
		if !e.Proxy.Reused() {
			return Skip("the adapter keeps no connection alive")
		}
		want := 0
		if f.CutAfter {
			want = 1
		}
		if _, err := e.held(ctx, o.EndToEndID, want); err != nil {
			return err
		}
	}
	return nil
}

func serverErrors(ctx context.Context, e *Env) error {
	for _, status := range []int{500, 501, 502, 503, 504, 507, 599} {
		if _, err := e.onlyOnce(ctx, Fault{Answer: answer(status, "text/html", "<html>oops</html>")}, banks.Uncertain); err != nil {
			return fmt.Errorf("%d: %w", status, err)
		}
	}
	return nil
}

func busy(ctx context.Context, e *Env) error {
	date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		status   int
		value    string
		from, to time.Duration
	}{
		{429, "7", 7 * time.Second, 7 * time.Second}, {503, "120", 2 * time.Minute, 2 * time.Minute},
		{503, date, 59 * time.Minute, time.Hour}, {429, "soon", 0, 0}, {429, "-5", 0, 0}, {503, "99999999", time.Hour, 7 * 24 * time.Hour},
	} {
		e.Proxy.Clear()
		e.Proxy.Set(Fault{Answer: answer(c.status, "application/json", "{}", "Retry-After", c.value)})
		_, err := e.Initiate(ctx, e.NewOrder(1000))
		if err := wantKind(err, banks.Unavailable); err != nil {
			return fmt.Errorf("%d: %w", c.status, err)
		}
		var b *banks.Error
		errors.As(err, &b)
		if b.HTTPStatus != c.status || b.RetryAfter < c.from || b.RetryAfter > c.to {
			return broken(fmt.Sprintf("%d with Retry-After %q became status %d, %s", c.status, c.value, b.HTTPStatus, b.RetryAfter))
		}
		if n := e.Proxy.Creations(); n != 1 {
			return broken(fmt.Sprintf("one call became %d requests", n))
		}
	}
	return nil
}

func redirected(ctx context.Context, e *Env) error {
	var visits atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		if _, err := e.onlyOnce(ctx, Fault{Answer: answer(status, "text/plain", "", "Location", other.URL)}, banks.Uncertain); err != nil {
			return fmt.Errorf("%d: %w", status, err)
		}
	}
	if visits.Load() != 0 {
		return broken("the adapter followed a redirect")
	}
	return nil
}

// rubbish are bodies no bank should send with a success.
var rubbish = []string{
	"", "null", "true", "[]", "{}", "{", `"text"`, "<!doctype html><title>Maintenance</title>", "\x00\xff\xfe", "\xef\xbb\xbf{}",
	`{"transactionStatus":5,"paymentId":[],"_links":"x"}`, `{"transactionStatus":"RCVD"}`,
	`{"transactionStatus":"RCVD","paymentId":"..","_links":{"scaRedirect":{"href":5}}}`,
	`{"transactionStatus":"RCVD","transactionStatus":"ACCC","paymentId":"1","_links":{}}`,
	strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000),
}

func garbage(ctx context.Context, e *Env) error {
	for i, body := range rubbish {
		for _, contentType := range []string{"application/json", "text/html", "", ";;;"} {
			if _, err := e.onlyOnce(ctx, Fault{Answer: answer(201, contentType, body)}, banks.Uncertain); err != nil {
				return fmt.Errorf("body %d as %q: %w", i, contentType, err)
			}
		}
	}
	e.Proxy.Clear()
	o := e.NewOrder(1000)
	in, err := e.Initiate(ctx, o)
	if err != nil {
		return err
	}
	for i, body := range rubbish {
		e.Proxy.Set(Fault{Only: every, Answer: answer(200, "application/json", body)})
		s, err := e.Status(ctx, e.Ref(o, in))
		var rule broken
		if errors.As(err, &rule) {
			return err
		}
		if err == nil && strings.HasPrefix(s.Transaction, "AC") {
			return broken(fmt.Sprintf("status body %d was believed", i))
		}
	}
	return nil
}

func huge(ctx context.Context, e *Env) error {
	const size, enough = 50 << 20, 16 << 20
	var wrote atomic.Int64
	flood := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"transactionStatus":"RCVD","paymentId":"`)
		for chunk := strings.Repeat("a", 64<<10); wrote.Load() < size; {
			n, err := io.WriteString(w, chunk)
			wrote.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
	if _, err := e.onlyOnce(ctx, Fault{Answer: flood}, banks.Uncertain); err != nil {
		return err
	}
	if n := wrote.Load(); n > enough {
		return broken(fmt.Sprintf("%d MB of an endless answer were taken", n>>20))
	}
	return nil
}

const (
	patience = 300 * time.Millisecond // what a check gives a call that would never end by itself
	tooLong  = 5 * time.Second        // that it goes on after its context has ended
)

// inTime makes a call whose context ends a little after the fault was met, and
// requires that the call ends soon after. One that does not is left behind; it
// ends when the proxy closes.
func inTime(ctx context.Context, f Fault, call func(context.Context, Fault) error) error {
	short, cancel := context.WithCancel(ctx)
	defer cancel()
	f.Met = func() { time.AfterFunc(patience, cancel) }
	done := make(chan error, 1)
	go func() { done <- guarded(func() error { return call(short, f) }) }()
	select {
	case err := <-done:
		return err
	case <-short.Done():
	}
	late := time.NewTimer(tooLong)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return broken("the call went on for seconds after its context ended")
	}
}

func slow(ctx context.Context, e *Env) error {
	drip := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
	return inTime(ctx, Fault{Answer: drip}, func(short context.Context, f Fault) error {
		_, err := e.onlyOnce(short, f, banks.Uncertain)
		return err
	})
}

func cancelContext(ctx context.Context, e *Env) error {
	err := inTime(ctx, Fault{Hold: true}, func(short context.Context, f Fault) error {
		_, err := e.onlyOnce(short, f, banks.Uncertain)
		return err
	})
	if err != nil {
		return err
	}
	e.Proxy.Clear()
	e.Proxy.Set(Fault{Only: every, Hold: true})
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = e.Initiate(gone, e.NewOrder(1000))
	if err := wantKind(err, banks.Unavailable); err != nil {
		return fmt.Errorf("a context that had ended before the call: %w", err)
	}
	if !errors.Is(err, context.Canceled) {
		return broken("the error of a cancelled call does not say so")
	}
	if n := e.Proxy.Requests(); n != 0 {
		return broken("a cancelled call was sent")
	}
	return nil
}

func redirectElsewhere(ctx context.Context, e *Env) error {
	if e.ForgeRedirect == nil {
		return Skip("the target cannot forge a redirect")
	}
	if in, err := e.Initiate(ctx, e.NewOrder(1000)); err != nil {
		return err
	} else if in.Prompt.Kind != psd2.PromptRedirect {
		return Skip("the bank sends the payer nowhere")
	}
	own := "https://bank.example"
	if origins := e.Bank.Info().RedirectOrigins; len(origins) > 0 {
		own = origins[0]
	}
	host := own[strings.Index(own, "://")+3:]
	for _, href := range []string{ // C36
		"https://evil.example/pay", "http://evil.example/", "javascript:alert(1)", "JaVaScRiPt:alert(1)//" + own, "data:text/html,<script>alert(1)</script>",
		"//evil.example/pay", "/pay/here", own + "@evil.example/", own + ".evil.example/pay", "https://evil.example/" + own, "https://evil.example#" + own,
		"https://user:pw@" + host + "/pay", own + "\\@evil.example/", " " + own + "/pay", own + "\t/pay", own + "\r\nSet-Cookie: a=b", "https:/" + host, "ftp://" + host + "/",
		"https://" + host + ":1/pay", "\x00", strings.Repeat("a", 100_000),
	} {
		e.Proxy.Clear()
		var forged atomic.Bool
		e.Proxy.Set(Fault{Only: every, Rewrite: func(body []byte) []byte {
			changed := e.ForgeRedirect(body, href)
			forged.Store(forged.Load() || !bytes.Equal(body, changed))
			return changed
		}})
		in, err := e.Initiate(ctx, e.NewOrder(1000))
		if !forged.Load() {
			return Skip("the payer's way is not in the bank's answers to an order")
		}
		if err := wantKind(err, banks.Uncertain); err != nil {
			return fmt.Errorf("redirect %.60q: %w", href, err)
		}
		if in.Prompt.RedirectURL != "" {
			return broken(fmt.Sprintf("redirect %.60q was handed out beside the error", href))
		}
	}
	return nil
}

func badState(ctx context.Context, e *Env) error {
	o := e.NewOrder(1000)
	in, err := e.Initiate(ctx, o)
	if err != nil {
		return err
	}
	e.Proxy.Clear()
	for _, state := range [][]byte{nil, {}, []byte("null"), []byte("{}"), {0xff, 0}, in.State[:len(in.State)/2], append([]byte("x"), in.State...)} {
		r := e.Ref(o, in)
		r.State = state
		_, err := e.Status(ctx, r)
		if err := wantKind(err, banks.BadRequest); err != nil {
			return err
		}
	}
	if n := e.Proxy.Requests(); n != 0 {
		return broken("a damaged state made the adapter call somebody")
	}
	return nil
}

func lostStatus(ctx context.Context, e *Env) error {
	o, in, first, err := e.paid(ctx, 1000)
	if err != nil {
		return err
	}
	e.Proxy.Set(Fault{Only: every, CutBefore: true, Partial: true})
	_, err = e.Status(ctx, e.Ref(o, in))
	if err := wantKind(err, banks.Uncertain); err != nil {
		return err
	}
	e.Proxy.Clear()
	s, err := e.Status(ctx, e.Ref(o, in))
	if err != nil {
		return err
	}
	if s.Transaction != first.Transaction {
		return broken("after a lost answer the status is " + s.Transaction + ", it was " + first.Transaction)
	}
	if n := e.Proxy.Creations(); n != 0 {
		return broken("asking created something")
	}
	return nil
}

func wrongOrder(ctx context.Context, e *Env) error {
	for name, spoil := range map[string]func(*banks.Order){
		"no amount":     func(o *banks.Order) { o.Amount.AmountMinor = 0 },
		"negative":      func(o *banks.Order) { o.Amount.AmountMinor = -100 },
		"too much":      func(o *banks.Order) { o.Amount.AmountMinor = 100_000_000_000 },
		"not euro":      func(o *banks.Order) { o.Amount.Currency = "USD" },
		"no payee":      func(o *banks.Order) { o.Creditor.IBAN = "" },
		"wrong IBAN":    func(o *banks.Order) { o.Creditor.IBAN = "DE00123456781234567890" },
		"no name":       func(o *banks.Order) { o.Creditor.Name = "" },
		"wrong id":      func(o *banks.Order) { o.EndToEndID = "line\r\nbreak" },
		"long text":     func(o *banks.Order) { o.Remittance = strings.Repeat("a", 141) },
		"foreign text":  func(o *banks.Order) { o.Remittance = "\u202etext" },
		"header inject": func(o *banks.Order) { o.ReturnURL += "\r\nIdempotency-Key: 1" },
	} {
		o := e.NewOrder(1000)
		spoil(&o)
		_, err := e.Initiate(ctx, o)
		if err := wantKind(err, banks.BadRequest); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if n := e.Proxy.Requests(); n != 0 {
		return broken("an impossible order was sent")
	}
	return nil
}

// quiet drives the adapter through failures whose answers quote the order
// back; Do looks at what it said.
func quiet(ctx context.Context, e *Env) error {
	o := e.NewOrder(1000)
	in, err := e.Initiate(ctx, o)
	if err != nil {
		return err
	}
	e.secret(o.ReturnURL, o.Remittance, string(in.State))
	iban := string(o.Creditor.IBAN)
	echo := func(code string) string {
		return fmt.Sprintf(`{"transactionStatus":%q,"tppMessages":[{"category":"ERROR","code":%q,"path":%q,"text":%q}]}`, code, code, iban, o.Creditor.Name+in.Prompt.RedirectURL)
	}
	for _, status := range []int{200, 201, 400, 401, 403, 404, 409, 429, 500, 503} {
		for _, a := range []http.HandlerFunc{
			answer(status, "application/json", echo(iban)), answer(status, "application/json", echo("FORMAT_ERROR "+iban)),
			answer(status, "application/json", echo("FORMAT_ERROR")), answer(status, "text/html", echo(iban)),
		} {
			e.Proxy.Set(Fault{Only: every, Answer: a})
			_, _ = e.Initiate(ctx, o)
			if s, err := e.Status(ctx, e.Ref(o, in)); err == nil && (strings.Contains(s.Transaction, iban) || strings.Contains(s.Reason, iban)) {
				return broken("an account number is handed on as a status or a reason")
			}
		}
	}
	for _, f := range []Fault{{CutBefore: true}, {CutBefore: true, Partial: true}, {Answer: rawEcho(iban)}} {
		f.Only = every
		e.Proxy.Set(f)
		_, _ = e.Initiate(ctx, o)
		_, _ = e.Status(ctx, e.Ref(o, in))
	}
	e.Proxy.Close()
	_, _ = e.Initiate(ctx, o)
	_, _ = e.Status(ctx, e.Ref(o, in))
	return nil
}

// rawEcho answers with something that is not HTTP; clients like to quote it.
func rawEcho(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = buf.WriteString(text + "\r\n\r\n")
		_ = buf.Flush()
		_ = c.Close()
	}
}
