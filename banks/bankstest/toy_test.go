package bankstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// toyBank speaks a protocol of its own: POST /orders, GET /orders/{n}, DELETE
// /orders/{n}, and POST /approve/{n} and /decline/{n} for the payer.
type toyBank struct {
	*httptest.Server
	mu     sync.Mutex
	orders []*toyOrder
	dedup  bool
}

type toyOrder struct {
	ID, Status, EndToEndID, Amount, Creditor string
}

func newToyBank() *toyBank {
	b := &toyBank{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", b.create)
	mux.HandleFunc("GET /orders/{n}", b.with(func(w http.ResponseWriter, o *toyOrder) { writeJSON(w, 200, o) }))
	mux.HandleFunc("DELETE /orders/{n}", b.with(func(w http.ResponseWriter, o *toyOrder) { o.Status = "CANC"; w.WriteHeader(204) }))
	mux.HandleFunc("POST /approve/{n}", b.with(func(_ http.ResponseWriter, o *toyOrder) { o.Status = "ACSC" }))
	mux.HandleFunc("POST /decline/{n}", b.with(func(_ http.ResponseWriter, o *toyOrder) { o.Status = "RJCT" }))
	b.Server = httptest.NewServer(mux)
	return b
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (b *toyBank) create(w http.ResponseWriter, r *http.Request) {
	var o toyOrder
	_ = json.NewDecoder(r.Body).Decode(&o)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dedup {
		for _, old := range b.orders {
			if old.EndToEndID == o.EndToEndID {
				status := 201
				if old.Amount != o.Amount {
					status = 400
				}
				writeJSON(w, status, map[string]string{"Order": old.ID, "Go": b.URL + "/approve/" + old.ID})
				return
			}
		}
	}
	o.ID, o.Status = strconv.Itoa(len(b.orders)), "RCVD"
	b.orders = append(b.orders, &o)
	writeJSON(w, 201, map[string]string{"Order": o.ID, "Go": b.URL + "/approve/" + o.ID})
}

func (b *toyBank) with(f func(http.ResponseWriter, *toyOrder)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if n, err := strconv.Atoi(r.PathValue("n")); err == nil && n < len(b.orders) {
			f(w, b.orders[n])
			return
		}
		w.WriteHeader(404)
	}
}

func (b *toyBank) target(flaw string) Target {
	var n atomic.Int64
	play := func(word string) func(context.Context, Act) (string, error) {
		return func(_ context.Context, a Act) (string, error) {
			resp, err := http.Post(strings.Replace(a.Now.Prompt.RedirectURL, "approve", word, 1), "", nil)
			if err == nil {
				resp.Body.Close()
			}
			return "", err
		}
	}
	return Target{
		BankURL: b.URL,
		New: func(base string, log *slog.Logger) (banks.Bank, error) {
			tr := &http.Transport{DisableCompression: true}
			a := &toyAdapter{base: base, own: b.URL, flaw: flaw, log: log, rt: tr}
			a.http = &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			if flaw == "follows redirects" {
				a.http.CheckRedirect = nil
			}
			return a, nil
		},
		Order: func(m psd2.Money) banks.Order {
			i := n.Add(1)
			return banks.Order{EndToEndID: fmt.Sprintf("TOY%d", i), RequestID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Amount: m,
				Creditor: psd2.Party{Name: "Lucky Casino", IBAN: "DE89370400440532013000"}, ReturnURL: "https://hub.example/return/1", PSU: psd2.PSU{IP: "192.0.2.1"}}
		},
		Ledger: func(_ context.Context, id string) (held []Held, _ error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, o := range b.orders {
				if o.EndToEndID == id {
					m, _ := psd2.ParseDecimal(o.Amount, "EUR")
					held = append(held, Held{Amount: m, Creditor: psd2.IBAN(o.Creditor), Booked: o.Status == "ACSC"})
				}
			}
			return held, nil
		},
		Approve: play("approve"),
		Decline: play("decline"),
		ForgeRedirect: func(body []byte, href string) []byte {
			var m map[string]string
			_ = json.Unmarshal(body, &m)
			m["Go"] = href
			out, _ := json.Marshal(m)
			return out
		},
	}
}

// toyAdapter behaves, except for its flaw.
type toyAdapter struct {
	base, own, flaw string
	log             *slog.Logger
	http            *http.Client
	rt              *http.Transport
	calls           atomic.Int64
}

func (a *toyAdapter) Info() banks.Info {
	i := banks.Info{ID: "toy", Approaches: []banks.Approach{banks.Redirect}, RedirectOrigins: []string{a.own}}
	switch a.flaw {
	case "changing info":
		i.ID += strconv.FormatInt(a.calls.Add(1), 10)
	case "declares a window it lacks", "has a window":
		i.Dedup = time.Hour
	}
	return i
}

func (a *toyAdapter) send(ctx context.Context, method, path string, body []byte) (int, http.Header, []byte, error) {
	connected := &atomic.Bool{}
	req, _ := http.NewRequestWithContext(withConn(ctx, connected), method, a.base+path, nil)
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	if a.flaw == "idempotency key" {
		req.Header.Set("Idempotency-Key", "1")
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	if a.flaw == "deaf" {
		req = req.WithContext(withConn(context.WithoutCancel(ctx), connected))
	}
	resp, err := a.http.Do(req)
	if err != nil && a.flaw == "retries" && method == "POST" {
		req.Body = io.NopCloser(bytes.NewReader(body))
		resp, err = a.http.Do(req)
	}
	kind := banks.Unavailable
	if connected.Load() && a.flaw != "unavailable when lost" {
		kind = banks.Uncertain
	}
	if err != nil {
		if a.flaw == "quotes" {
			return 0, nil, nil, &banks.Error{Kind: kind, Err: fmt.Errorf("%w: %s", err, body)}
		}
		return 0, nil, nil, &banks.Error{Kind: kind, Err: ctx.Err()}
	}
	defer resp.Body.Close()
	limit := int64(1 << 20)
	if a.flaw == "no limit" {
		limit = 1 << 40
	}
	out, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil || int64(len(out)) == limit {
		return 0, nil, nil, &banks.Error{Kind: kind}
	}
	return resp.StatusCode, resp.Header, out, nil
}

func (a *toyAdapter) Initiate(ctx context.Context, o banks.Order) (banks.Initiation, error) {
	_, ibanErr := psd2.ParseIBAN(string(o.Creditor.IBAN))
	if a.flaw != "sends anything" && (o.Amount.CheckSCTInst() != nil || ibanErr != nil || o.Creditor.Name == "" || psd2.CheckReference(o.EndToEndID) != nil ||
		len(o.Remittance) > 140 || !psd2.IsEPC(o.Remittance) || strings.ContainsAny(o.ReturnURL, "\r\n")) {
		return banks.Initiation{}, &banks.Error{Kind: banks.BadRequest}
	}
	amount := o.Amount.Decimal()
	if a.flaw == "float amounts" {
		amount = fmt.Sprintf("%.2f", float32(o.Amount.AmountMinor)/100)
	}
	body, _ := json.Marshal(map[string]string{"EndToEndID": o.EndToEndID, "Amount": amount, "Creditor": string(o.Creditor.IBAN)})
	if a.flaw == "logs bodies" {
		a.log.Info("sending", "body", string(body))
	}
	status, header, out, err := a.send(ctx, "POST", "/orders", body)
	if err == nil && status == 500 && a.flaw == "repeats 500" {
		status, header, out, err = a.send(ctx, "POST", "/orders", body)
	}
	if err != nil {
		if a.flaw == "foreign errors" {
			err = errors.New("boom")
		}
		return banks.Initiation{}, err
	}
	if status != 201 {
		return banks.Initiation{}, a.failed(status, header)
	}
	var in struct{ Order, Go string }
	if json.Unmarshal(out, &in) != nil || in.Order == "" || header.Get("Content-Type") != "application/json" {
		if a.flaw == "panics" {
			panic("garbage")
		}
		return banks.Initiation{}, &banks.Error{Kind: banks.Uncertain}
	}
	if !strings.HasPrefix(in.Go, a.own+"/") && a.flaw != "any redirect" {
		return banks.Initiation{}, &banks.Error{Kind: banks.Uncertain}
	}
	if a.flaw == "any redirect" && !strings.HasPrefix(in.Go, a.own) {
		return banks.Initiation{Prompt: psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: in.Go}}, nil
	}
	switch a.flaw {
	case "asks in its app":
		return banks.Initiation{State: []byte("toy:" + in.Order), Approach: banks.Decoupled, Prompt: psd2.Prompt{Kind: psd2.PromptApp}, Status: "RCVD"}, nil
	case "asks nobody":
		return banks.Initiation{State: []byte("toy:" + in.Order), Approach: banks.Redirect, Status: "ACTC"}, nil
	}
	return banks.Initiation{State: []byte("toy:" + in.Order), Approach: banks.Redirect, Prompt: psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: in.Go}, Status: "RCVD"}, nil
}

func (a *toyAdapter) failed(status int, h http.Header) error {
	after, _ := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	e := &banks.Error{Kind: banks.Uncertain, HTTPStatus: status, RetryAfter: min(time.Duration(after)*time.Second, 24*time.Hour)}
	if t, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Until(t)
	}
	switch {
	case status == 429, status == 503 && h.Get("Retry-After") != "":
		e.Kind = banks.Unavailable
		if a.flaw == "forgets retry-after" {
			e.RetryAfter = 0
		}
	case status == 400:
		e.Kind = banks.BadRequest
	case status == 404:
		e.Kind = banks.NotFound
	case a.flaw == "refuses on 5xx" && status >= 500:
		e.Kind = banks.Refused
	}
	return e
}

func (a *toyAdapter) order(r banks.Ref) (string, error) {
	n, ok := strings.CutPrefix(string(r.State), "toy:")
	if _, err := strconv.Atoi(n); (!ok || err != nil) && a.flaw != "trusts state" {
		return "", &banks.Error{Kind: banks.BadRequest}
	}
	return "/orders/" + n, nil
}

func (a *toyAdapter) Status(ctx context.Context, r banks.Ref) (banks.Status, error) {
	path, err := a.order(r)
	if err != nil {
		return banks.Status{}, err
	}
	status, header, out, err := a.send(ctx, "GET", path, nil)
	if err != nil {
		return banks.Status{}, err
	}
	if status != 200 {
		return banks.Status{}, a.failed(status, header)
	}
	var o toyOrder
	if json.Unmarshal(out, &o) != nil || o.Status == "" {
		return banks.Status{}, &banks.Error{Kind: banks.Uncertain}
	}
	if n := a.calls.Add(1); a.flaw == "goes back" && n%2 == 0 {
		o.Status = "RCVD"
	}
	return banks.Status{Transaction: o.Status}, nil
}

func (a *toyAdapter) Cancel(ctx context.Context, r banks.Ref) (banks.Cancellation, error) {
	path, err := a.order(r)
	if err != nil || a.flaw == "claims to cancel" {
		return banks.Cancellation{Done: err == nil}, err
	}
	status, _, _, err := a.send(ctx, "DELETE", path, nil)
	return banks.Cancellation{Done: status == 204}, err
}
