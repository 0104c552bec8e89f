package hub_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
)

const secretCode = "code-314159"

// asker is a bank that asks its customer through us, and may want him to log in
// first. Its customer's password is "right", his code is secretCode.
type asker struct {
	first  psd2.PromptKind // what it wants before an order
	decoup bool            // confirms in its app after the password
	undo   bool            // wants cancellations confirmed

	mu     sync.Mutex
	sent   int               // orders received
	orders map[string]string // status by EndToEndId
	login  bool              // the payer logged in
	trips  []string          // returns taken to the bank
	lose   string            // the next answer to this is lost: "before" or "after" the bank acted
	tries  int
	heard  []psd2.PromptAnswer
}

func (b *asker) Info() banks.Info {
	return banks.Info{ID: "asker", Approaches: []banks.Approach{banks.Embedded}, First: b.first, RedirectOrigins: []string{"https://bank.example"}}
}

func (b *asker) Prepare(_ context.Context, o banks.Order) (banks.Initiation, error) {
	return banks.Initiation{State: []byte("login:" + o.EndToEndID), Approach: banks.Redirect,
		Prompt: psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example/login"}}, nil
}

func (b *asker) Return(_ context.Context, r banks.Ref, q url.Values) (banks.Initiation, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case q.Get("state") != r.EndToEndID:
		return banks.Initiation{}, &banks.Error{Kind: banks.BadRequest, Code: "STATE_MISMATCH"}
	case q.Get("error") != "":
		return banks.Initiation{}, &banks.Error{Kind: banks.Refused, Code: "CUST"}
	}
	b.trips = append(b.trips, q.Get("code"))
	b.login = true
	return banks.Initiation{State: []byte("token:" + r.EndToEndID), Ready: true}, nil
}

func (b *asker) Initiate(_ context.Context, o banks.Order) (banks.Initiation, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first == psd2.PromptRedirect && (!b.login || !strings.HasPrefix(string(o.State), "token:")) {
		return banks.Initiation{}, &banks.Error{Kind: banks.Refused, Code: "TOKEN_INVALID"}
	}
	b.sent++
	b.orders[o.EndToEndID] = "RCVD"
	return banks.Initiation{State: []byte(o.EndToEndID), Approach: banks.Embedded, Status: "RCVD",
		Prompt: psd2.Prompt{Kind: psd2.PromptPassword, AskID: true}}, nil
}

func (b *asker) Answer(_ context.Context, r banks.Ref, a psd2.PromptAnswer) (banks.Initiation, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = append(b.heard, a)
	lose := b.lose
	b.lose = ""
	if lose == "before" {
		return banks.Initiation{}, &banks.Error{Kind: banks.Uncertain}
	}
	in, err := b.step(r.EndToEndID, a)
	if lose == "after" {
		return banks.Initiation{}, &banks.Error{Kind: banks.Uncertain}
	}
	return in, err
}

func (b *asker) step(id string, a psd2.PromptAnswer) (banks.Initiation, error) {
	out := banks.Initiation{State: []byte(id), Approach: banks.Embedded, Status: "RCVD"}
	switch {
	case a.Password == "right" && b.decoup:
		out.Prompt = psd2.Prompt{Kind: psd2.PromptApp, Message: "Bitte in der App bestätigen"}
	case a.Password == "right":
		out.Prompt = psd2.Prompt{Kind: psd2.PromptCode, Method: "SMS"}
	case a.Password != "":
		out.Prompt = psd2.Prompt{Kind: psd2.PromptPassword, Again: true}
	case a.Code == secretCode:
		b.orders[id], out.Status, out.SCA = "ACCC", "ACCC", "finalised"
	default:
		if b.tries++; b.tries == 3 {
			b.orders[id] = "RJCT"
			return out, &banks.Error{Kind: banks.Refused, Code: "PSU_CREDENTIALS_INVALID"}
		}
		out.Prompt = psd2.Prompt{Kind: psd2.PromptCode, Again: true}
	}
	return out, nil
}

func (b *asker) Status(_ context.Context, r banks.Ref) (banks.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return banks.Status{Transaction: b.orders[r.EndToEndID]}, nil
}

func (b *asker) Cancel(context.Context, banks.Ref) (banks.Cancellation, error) {
	if !b.undo {
		return banks.Cancellation{}, errors.New("no")
	}
	return banks.Cancellation{Prompt: psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example/undo"}}, nil
}

func (b *asker) set(id, status string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.orders[id] = status
}

func (w *world) asking(b *asker) *asker {
	b.orders = map[string]string{}
	w.merchant.PayerPolicy = psd2.PayerOff
	w.entries = append(w.entries, banks.Entry{ID: "asker", Name: "asker", Adapter: "asker"})
	w.adapters["asker"] = b
	w.hub = w.newHub("hub-1", w.db)
	return b
}

func (w *world) answers(p *psd2.Payment, kind psd2.PromptKind, a psd2.PromptAnswer) (*psd2.Payment, error) {
	w.t.Helper()
	p, _, err := w.hub.Answer(ctx, w.load(p).Last().ID, rand.Text(), kind, a)
	return p, err
}

func (w *world) mustAnswer(p *psd2.Payment, kind psd2.PromptKind, a psd2.PromptAnswer) *psd2.Payment {
	w.t.Helper()
	p, err := w.answers(p, kind, a)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) embedded() *psd2.Payment {
	w.t.Helper()
	p := w.start()
	if _, link, err := w.hub.Authorise(ctx, p.ID, "asker", rand.Text(), browser, hub.Browser{}); err != nil || link != "" {
		w.t.Fatal(link, err)
	}
	return p
}

func (w *world) wantPrompt(p *psd2.Payment, kind psd2.PromptKind, again, atRisk bool) {
	w.t.Helper()
	p = w.load(p)
	a := p.Last()
	if got := p.Personal.Attempts[a.ID].Prompt; got.Kind != kind || got.Again != again || a.Prompt != kind || (a.AtRiskAt != nil) != atRisk {
		w.t.Fatalf("prompt %+v, attempt %+v; want %s again=%t at risk=%t", got, a, kind, again, atRisk)
	}
}

func TestRelayedAnswersPayOnceAndAreKeptNowhere(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		b := w.asking(&asker{})
		p := w.embedded()
		w.wantPrompt(p, psd2.PromptPassword, false, false)
		w.mustAnswer(p, psd2.PromptPassword, psd2.PromptAnswer{PSUID: "paula", Password: "wrong-password-271828"})
		w.wantPrompt(p, psd2.PromptPassword, true, false)
		w.mustAnswer(p, psd2.PromptPassword, psd2.PromptAnswer{PSUID: "paula", Password: "right"})
		w.wantPrompt(p, psd2.PromptCode, false, false) // no money can move before the code
		w.mustAnswer(p, psd2.PromptCode, psd2.PromptAnswer{Code: "000000"})
		w.wantPrompt(p, psd2.PromptCode, true, false)
		w.mustAnswer(p, psd2.PromptCode, psd2.PromptAnswer{Code: secretCode})
		p = w.wantState(p, psd2.StateSettled, "")
		if b.sent != 1 || len(b.heard) != 4 {
			t.Fatalf("%d orders, %d answers", b.sent, len(b.heard))
		}
		events, err := w.db.PaymentEvents(ctx, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if s := string(e.Data); strings.Contains(s, secretCode) || strings.Contains(s, "271828") || strings.Contains(s, "paula") {
				t.Fatalf("kept in %s", e.Type)
			}
		}
		for _, ap := range p.Personal.Attempts {
			if ap.PSU.ID != "" || strings.Contains(ap.Prompt.Message+string(ap.Adapter), secretCode) {
				t.Fatalf("kept: %+v", ap)
			}
		}
	})
}

func TestAnswerIsTakenOnceAndOnlyToItsQuestion(t *testing.T) {
	w := one(t)
	b := w.asking(&asker{})
	p := w.embedded()
	_, err := w.answers(p, psd2.PromptCode, psd2.PromptAnswer{Code: secretCode})
	wantReason(t, err, "prompt_changed")
	id := w.load(p).Last().ID
	if _, _, err := w.hub.Answer(ctx, id, "n", psd2.PromptPassword, psd2.PromptAnswer{Password: "wrong"}); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.hub.Answer(ctx, id, "n", psd2.PromptPassword, psd2.PromptAnswer{Password: "right"})
	wantReason(t, err, "answer_used")
	if len(b.heard) != 1 {
		t.Fatalf("the bank heard %d answers", len(b.heard))
	}
}

// A lost answer to the code must not end as failed while the bank pays, nor be
// taken for paid while it does not.
func TestLostAnswerToACodeIsAskedFor(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, lose := range []string{"before", "after"} {
			b := w.asking(&asker{})
			p := w.embedded()
			w.mustAnswer(p, psd2.PromptPassword, psd2.PromptAnswer{Password: "right"})
			b.lose = lose
			w.mustAnswer(p, psd2.PromptCode, psd2.PromptAnswer{Code: secretCode})
			if lose == "after" {
				w.wantState(p, psd2.StateSettled, "")
				continue
			}
			w.wantPrompt(p, psd2.PromptCode, false, true)
			w.mustAnswer(p, psd2.PromptCode, psd2.PromptAnswer{Code: secretCode})
			w.wantState(p, psd2.StateSettled, "")
			if b.sent != 1 {
				t.Fatalf("%d orders", b.sent)
			}
		}
	})
}

func TestWrongCodeTooOftenLeavesThePaymentOpen(t *testing.T) {
	w := one(t)
	w.asking(&asker{})
	p := w.embedded()
	w.mustAnswer(p, psd2.PromptPassword, psd2.PromptAnswer{Password: "right"})
	for range 3 {
		w.mustAnswer(p, psd2.PromptCode, psd2.PromptAnswer{Code: "000000"})
	}
	w.wantState(p, psd2.StateAuthorizationRequired, "")
	w.wantAttempt(p, 0, psd2.AttemptRefused, psd2.ReasonAuthenticationFailed)
}

// Nobody but us can bring the code to the bank, so an abandoned checkout ends
// as failed, not as unknown.
func TestUnansweredPromptExpiresWithoutMoney(t *testing.T) {
	w := one(t)
	w.asking(&asker{})
	p := w.embedded()
	w.mustAnswer(p, psd2.PromptPassword, psd2.PromptAnswer{Password: "right"})
	w.run(hour)
	w.wantState(p, psd2.StateFailed, psd2.ReasonExpired)
	_, err := w.answers(p, psd2.PromptCode, psd2.PromptAnswer{Code: secretCode})
	if psd2.CodeOf(err) != psd2.CodeConflict {
		t.Fatal(err)
	}
	q := w.embedded()
	if _, err := w.hub.CancelByPayer(ctx, q.ID); err != nil {
		t.Fatal(err)
	}
	w.wantState(q, psd2.StateFailed, psd2.ReasonPayerCanceled)
}

func TestAppConfirmationIsFollowedWithoutAReturn(t *testing.T) {
	w := one(t)
	b := w.asking(&asker{decoup: true})
	p := w.embedded()
	w.mustAnswer(p, psd2.PromptPassword, psd2.PromptAnswer{Password: "right"})
	w.wantPrompt(p, psd2.PromptApp, false, true)
	b.set(w.load(p).Last().EndToEndID, "ACCC")
	w.run(3 * time.Second)
	w.wantState(p, psd2.StateSettled, "")
}

func TestLoginBeforeTheOrder(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		b := w.asking(&asker{first: psd2.PromptRedirect})
		p := w.start()
		_, link, err := w.hub.Authorise(ctx, p.ID, "asker", rand.Text(), browser, hub.Browser{})
		if err != nil || link != "https://bank.example/login" || b.sent != 0 {
			t.Fatal(link, err, b.sent)
		}
		w.wantAttempt(p, 0, psd2.AttemptPreparing, "")
		a := w.load(p).Last()
		back := func(q url.Values) {
			if _, _, err := w.hub.Returned(ctx, a.ID, q); err != nil {
				t.Fatal(err)
			}
		}
		back(url.Values{"code": {"c1"}, "state": {"forged"}}) // B21: not this order's
		w.wantAttempt(p, 0, psd2.AttemptPreparing, "")
		good := url.Values{"code": {"c2"}, "state": {a.EndToEndID}}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { _, _, _ = w.hub.Returned(ctx, a.ID, good) })
		}
		wg.Wait()
		if b.sent != 1 || len(b.trips) != 1 {
			t.Fatalf("%d orders, %d codes exchanged", b.sent, len(b.trips))
		}
		w.wantPrompt(p, psd2.PromptPassword, false, false)

		q := w.start()
		if _, _, err := w.hub.Authorise(ctx, q.ID, "asker", rand.Text(), browser, hub.Browser{}); err != nil {
			t.Fatal(err)
		}
		a = w.load(q).Last()
		back(url.Values{"error": {"access_denied"}, "state": {a.EndToEndID}})
		w.wantAttempt(q, 0, psd2.AttemptRefused, psd2.ReasonPayerRejected)

		r := w.start()
		if _, _, err := w.hub.Authorise(ctx, r.ID, "asker", rand.Text(), browser, hub.Browser{}); err != nil {
			t.Fatal(err)
		}
		w.run(hour)
		w.wantState(r, psd2.StateFailed, psd2.ReasonExpired)
		if b.sent != 1 {
			t.Fatalf("%d orders", b.sent)
		}
	})
}

func TestBankThatWantsToKnowWhoPaysIsTold(t *testing.T) {
	w := one(t)
	b := w.asking(&asker{first: psd2.PromptIdentify})
	p := w.start()
	_, _, err := w.hub.Authorise(ctx, p.ID, "asker", rand.Text(), browser, hub.Browser{})
	wantReason(t, err, "psu_id_missing")
	named := browser
	named.ID = "anna"
	if _, _, err := w.hub.Authorise(ctx, p.ID, "asker", rand.Text(), named, hub.Browser{}); err != nil || b.sent != 1 {
		t.Fatal(err, b.sent)
	}
}

func TestCancellationThatThePayerMustConfirmLeavesTheOrderStanding(t *testing.T) {
	w := one(t)
	b := w.asking(&asker{decoup: true, undo: true})
	p := w.embedded()
	w.mustAnswer(p, psd2.PromptPassword, psd2.PromptAnswer{Password: "right"})
	p, err := w.hub.CancelByPayer(ctx, p.ID)
	if err != nil || p.Personal.Attempts[p.Last().ID].Cancel.RedirectURL != "https://bank.example/undo" || p.State == psd2.StateFailed {
		t.Fatal(p.State, err)
	}
	b.set(p.Last().EndToEndID, "CANC")
	w.run(time.Minute)
	w.wantState(p, psd2.StateFailed, psd2.ReasonPayerCanceled)
}
