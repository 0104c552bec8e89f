package bankstest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// askingBank is a toy bank that asks its customers more: a code through the
// adapter, a login before the order, a word on a cancellation.
//
//	POST /say/{n}      the code of an order: 200, 401 wrong, 403 wrong too often
//	GET  /find/{id}    an order by our reference
//	POST /funds        {"Account","Amount"}
//	POST /wish/{n}     a cancellation that the payer has yet to authorise, at /yes/{n} or /no/{n}
//	POST /token        a login's code
type askingBank struct {
	*toyBank
	mu     sync.Mutex
	wrong  map[string]int
	notify map[string]string
	codes  map[string]bool
}

const (
	rightCode  = "271828"
	accountOf  = "DE02120300000000202051"
	fundsOnIt  = 12345
	stateOfOur = "state-of-our-login"
)

func newAskingBank(t *testing.T) *askingBank {
	b := &askingBank{toyBank: newToyBank(), wrong: map[string]int{}, notify: map[string]string{}, codes: map[string]bool{}}
	t.Cleanup(b.Close)
	plain := b.Config.Handler
	mux := http.NewServeMux()
	mux.HandleFunc("POST /say/{n}", b.with(b.say))
	mux.HandleFunc("GET /find/{id}", b.find)
	mux.HandleFunc("POST /funds", func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Amount int64 }
		_ = json.NewDecoder(r.Body).Decode(&q)
		writeJSON(w, 200, map[string]bool{"Available": q.Amount <= fundsOnIt})
	})
	mux.HandleFunc("POST /wish/{n}", b.with(func(w http.ResponseWriter, o *toyOrder) {
		writeJSON(w, 200, map[string]string{"Go": b.URL + "/yes/" + o.ID})
	}))
	mux.HandleFunc("POST /yes/{n}", b.with(func(_ http.ResponseWriter, o *toyOrder) { o.Status = "CANC" }))
	mux.HandleFunc("POST /no/{n}", b.with(func(http.ResponseWriter, *toyOrder) {}))
	mux.HandleFunc("POST /token", b.token)
	mux.Handle("/", plain)
	b.Config.Handler = mux
	return b
}

func (b *askingBank) say(w http.ResponseWriter, o *toyOrder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch said := w.Header().Get("said"); {
	case o.Status != "RCVD":
		w.WriteHeader(409)
	case said == rightCode:
		o.Status = "ACSC"
		if uri := b.notify[o.EndToEndID]; uri != "" {
			go func() {
				if res, err := http.Post(uri, "application/json", strings.NewReader("{}")); err == nil {
					_ = res.Body.Close()
				}
			}()
		}
		writeJSON(w, 200, o)
	default:
		if b.wrong[o.ID]++; b.wrong[o.ID] >= 3 {
			o.Status = "RJCT"
			w.WriteHeader(403)
			return
		}
		w.WriteHeader(401)
	}
}

func (b *askingBank) find(w http.ResponseWriter, r *http.Request) {
	b.toyBank.mu.Lock()
	defer b.toyBank.mu.Unlock()
	for _, o := range b.orders {
		if o.EndToEndID == r.PathValue("id") {
			writeJSON(w, 200, o)
			return
		}
	}
	w.WriteHeader(404)
}

func (b *askingBank) token(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if code := r.FormValue("code"); b.codes[code] {
		delete(b.codes, code)
		return
	}
	w.WriteHeader(400)
}

// carry lets a handler of with read the request's body as a header.
func carry(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/say/") {
			var said struct{ Code string }
			_ = json.NewDecoder(r.Body).Decode(&said)
			w.Header().Set("said", said.Code)
		}
		next.ServeHTTP(w, r)
	})
}

func (b *askingBank) target(flaw string, login bool) Target {
	b.Config.Handler = carry(b.Config.Handler)
	t := b.toyBank.target("")
	plain := t.New
	t.New = func(base string, log *slog.Logger) (banks.Bank, error) {
		a, err := plain(base, log)
		if err != nil {
			return nil, err
		}
		return &asking{toyAdapter: a.(*toyAdapter), bank: b, flaw: flaw, login: login}, nil
	}
	t.Creates = func(r *http.Request) bool {
		return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/orders")
	}
	t.Answer = func(context.Context, Act) (psd2.PromptAnswer, error) { return psd2.PromptAnswer{Code: rightCode}, nil }
	t.Funds = func(context.Context) (psd2.IBAN, psd2.Money, error) { return accountOf, psd2.Euro(fundsOnIt), nil }
	t.Notifies = true
	play := func(word string) func(context.Context, Act) (string, error) {
		return func(_ context.Context, a Act) (string, error) {
			if !a.Cancelling { // the login
				code := rand.Text()
				b.mu.Lock()
				b.codes[code] = true
				b.mu.Unlock()
				return "https://hub.example/return?code=" + code + "&state=" + stateOfOur, nil
			}
			res, err := http.Post(strings.Replace(a.Now.Prompt.RedirectURL, "/yes/", word, 1), "", nil)
			if err == nil {
				_ = res.Body.Close()
			}
			return "", err
		}
	}
	t.Approve, t.Decline = play("/yes/"), play("/no/")
	return t
}

// asking is a well-behaved adapter, except for its flaw.
type asking struct {
	*toyAdapter
	bank  *askingBank
	flaw  string
	login bool
}

func (a *asking) Info() banks.Info {
	i := a.toyAdapter.Info()
	if i.Approaches = []banks.Approach{banks.Embedded}; a.login {
		i.First = psd2.PromptRedirect
	}
	return i
}

var askCode = psd2.Prompt{Kind: psd2.PromptCode, Method: "text message"}

func (a *asking) Initiate(ctx context.Context, o banks.Order) (banks.Initiation, error) {
	if a.login && string(o.State) != "ready" && a.flaw != "sends before the login" {
		return banks.Initiation{}, &banks.Error{Kind: banks.BadRequest}
	}
	if a.flaw != "forgets where news are wanted" {
		a.bank.mu.Lock()
		a.bank.notify[o.EndToEndID] = o.NotifyURL
		a.bank.mu.Unlock()
	}
	in, err := a.toyAdapter.Initiate(ctx, o)
	if err == nil {
		in.Approach, in.Prompt = banks.Embedded, askCode
	}
	return in, err
}

func (a *asking) Answer(ctx context.Context, r banks.Ref, said psd2.PromptAnswer) (banks.Initiation, error) {
	path, err := a.order(r)
	if err != nil {
		return banks.Initiation{}, err
	}
	path = strings.Replace(path, "/orders/", "/say/", 1)
	body, _ := json.Marshal(map[string]string{"Code": said.Code})
	if a.flaw == "logs the code" {
		a.log.Info("relaying", "body", string(body))
	}
	status, header, _, err := a.send(ctx, "POST", path, body)
	if err != nil && a.flaw == "repeats an answer" {
		status, header, _, err = a.send(ctx, "POST", path, body)
	}
	in := banks.Initiation{State: r.State, Approach: banks.Embedded}
	switch {
	case err != nil:
		return banks.Initiation{}, err
	case status == 200:
		in.Status = "ACSC"
		return in, nil
	case status == 401 && a.flaw == "fails on a wrong code":
		return banks.Initiation{}, &banks.Error{Kind: banks.Refused}
	case status == 401, a.flaw == "asks for ever":
		in.Prompt = askCode
		in.Prompt.Again = true
		return in, nil
	case status == 403, status == 409:
		return banks.Initiation{}, &banks.Error{Kind: banks.Refused, HTTPStatus: status}
	}
	return banks.Initiation{}, a.failed(status, header)
}

func (a *asking) Find(ctx context.Context, r banks.Ref) ([]byte, banks.Status, error) {
	status, header, out, err := a.send(ctx, "GET", "/find/"+r.EndToEndID, nil)
	if err != nil {
		return nil, banks.Status{}, err
	}
	if status == 404 && a.flaw == "is unsure what was never sent" {
		status = 500
	}
	var o toyOrder
	if status != 200 || json.Unmarshal(out, &o) != nil {
		return nil, banks.Status{}, a.failed(status, header)
	}
	return []byte("toy:" + o.ID), banks.Status{Transaction: o.Status}, nil
}

func (a *asking) FundsAvailable(ctx context.Context, _ banks.Ref, _ psd2.IBAN, m psd2.Money) (bool, error) {
	if a.flaw == "asks for whole euros" {
		m.AmountMinor -= m.AmountMinor % 100
	}
	body, _ := json.Marshal(map[string]any{"Account": accountOf, "Amount": m.AmountMinor})
	status, header, out, err := a.send(ctx, "POST", "/funds", body)
	if err != nil {
		return false, err
	}
	var answer struct{ Available bool }
	if status != 200 || json.Unmarshal(out, &answer) != nil {
		return false, a.failed(status, header)
	}
	return answer.Available, nil
}

func (a *asking) Cancel(ctx context.Context, r banks.Ref) (banks.Cancellation, error) {
	path, err := a.order(r)
	if err != nil {
		return banks.Cancellation{}, err
	}
	_, _, out, err := a.send(ctx, "POST", strings.Replace(path, "/orders/", "/wish/", 1), nil)
	var answer struct{ Go string }
	if err != nil || json.Unmarshal(out, &answer) != nil {
		return banks.Cancellation{}, err
	}
	return banks.Cancellation{Done: a.flaw == "cancels on its own word", Prompt: psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: answer.Go}}, nil
}

func (a *asking) Prepare(context.Context, banks.Order) (banks.Initiation, error) {
	return banks.Initiation{State: []byte("login"), Approach: banks.Redirect, Prompt: psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: a.own + "/login"}}, nil
}

func (a *asking) Return(ctx context.Context, _ banks.Ref, q url.Values) (banks.Initiation, error) {
	wrong := q.Get("state") != stateOfOur || len(q["code"]) != 1 || q.Get("code") == "" || q.Has("iss")
	if wrong && a.flaw != "believes every return" {
		return banks.Initiation{}, &banks.Error{Kind: banks.BadRequest}
	}
	status, header, err := a.redeem(ctx, q.Get("code"))
	if err != nil {
		return banks.Initiation{}, err
	}
	if status != 200 {
		return banks.Initiation{}, a.failed(status, header)
	}
	return banks.Initiation{State: []byte("ready"), Approach: banks.Redirect, Ready: true}, nil
}

func (a *asking) redeem(ctx context.Context, code string) (int, http.Header, error) {
	status, header, _, err := a.send(ctx, "POST", "/token?code="+url.QueryEscape(code), nil)
	var b *banks.Error
	if err != nil && !errors.As(err, &b) {
		err = &banks.Error{Kind: banks.Uncertain}
	}
	return status, header, err
}

// TestAdapterThatAsksPasses: the checks of logins, answers and cancellations
// can be passed.
func TestAdapterThatAsksPasses(t *testing.T) {
	for name, login := range map[string]bool{"at once": false, "after a login": true} {
		t.Run(name, func(t *testing.T) { Run(t, newAskingBank(t).target("", login)) })
	}
}

// TestEachFlawOfAskingIsFound: and an adapter with one flaw fails the check that
// is about it.
func TestEachFlawOfAskingIsFound(t *testing.T) {
	for flaw, check := range map[string]string{
		"sends before the login":        "prepared",
		"believes every return":         "prepared",
		"fails on a wrong code":         "wrong-answer",
		"logs the code":                 "wrong-answer",
		"asks for ever":                 "too-many-wrong",
		"repeats an answer":             "lost-step",
		"cancels on its own word":       "cancel-authorised",
		"forgets where news are wanted": "notified",
		"asks for whole euros":          "funds",
		"is unsure what was never sent": "found",
	} {
		t.Run(flaw, func(t *testing.T) {
			t.Parallel()
			c, login := find(t, check), check == "prepared"
			if r := Do(t.Context(), c, newAskingBank(t).target("", login)); r.Outcome != Passed {
				t.Fatalf("%s fails without the flaw: %s", check, r.Detail)
			}
			if r := Do(t.Context(), c, newAskingBank(t).target(flaw, login)); r.Outcome != Failed {
				t.Errorf("%s %s an adapter that %q", check, r.Outcome, flaw)
			} else {
				t.Log(r.Detail)
			}
		})
	}
}
