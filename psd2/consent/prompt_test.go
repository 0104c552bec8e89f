package consent_test

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
)

func picture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 32, 32))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// embedded makes the bank ask through us: sign in, choose a way, give a code.
func (w *world) embedded() {
	code := psd2.Prompt{Kind: psd2.PromptCode, Method: "SMS to ***42 <b>", Message: "Check <script>alert(1)</script> the amount",
		Challenge: psd2.Challenge{Data: []string{"Start code 1234"}, Image: picture(w.t), MaxLength: 6}}
	again := code
	again.Again = true
	w.sandbank.prompt = psd2.Prompt{Kind: psd2.PromptPassword, AskID: true}
	w.sandbank.next = []banks.Initiation{
		{Prompt: psd2.Prompt{Kind: psd2.PromptMethod, Methods: []psd2.Method{{ID: "sms", Name: "SMS to ***42"}, {ID: "photo", Name: "Photo TAN"}}}},
		{Prompt: code}, {Prompt: again}, {},
	}
}

func TestBanksQuestionsAreAskedWithThePaymentTheyAreFor(t *testing.T) {
	w := newWorld(t)
	w.embedded()
	b := w.browser()
	_, path := w.start()
	to := b.toBank(path)
	page := b.get(to).want(http.StatusOK)
	for range 2 { // loading it again asks the same
		if page.find("prompt") == nil || page.text("amount") == "" || !strings.Contains(page.text("payee"), "Casino Example Ltd") {
			t.Fatalf("the question stands alone:\n%s", page.main())
		}
		page = b.get(to).want(http.StatusOK)
	}
	answer := func(page *answer, change url.Values) *answer {
		t.Helper()
		action, fields := page.form("answer")
		for k, v := range change {
			fields[k] = v
		}
		return b.do(http.MethodPost, action, fields)
	}
	first := page
	page = b.get(answer(page, url.Values{"psu_id": {"paula"}, "password": {"p4ss-canary"}}).location())
	if page.find("method-sms") == nil || page.find("method-photo") == nil {
		t.Fatal(page.main())
	}
	// The first form again: the bank asks for something else by now.
	if old := answer(first, url.Values{"password": {"p4ss-canary"}}).want(http.StatusConflict); len(w.sandbank.heard) != 1 || old.find("method-sms") == nil {
		t.Fatalf("an old form was taken: %v", len(w.sandbank.heard))
	}
	page = b.get(answer(page, url.Values{"method": {"sms"}}).location())
	if page.text("challenge") != "Start code 1234" || !strings.Contains(page.text("message"), "<script>") || strings.Contains(page.body, "<script>alert") {
		t.Fatal("the bank's words are not shown as words")
	}
	shot := b.get(to + "/challenge").want(http.StatusOK)
	if shot.Header.Get("Content-Type") != "image/png" || shot.Header.Get("Cache-Control") != "no-store" {
		t.Fatal(shot.Header)
	}
	page = b.get(answer(page, url.Values{"code": {"000000"}}).location())
	if !strings.Contains(page.main(), "did not accept") {
		t.Fatal(page.main())
	}
	w.sandbank.decide(banks.Status{Transaction: "ACSC"})
	done := b.get(answer(page, url.Values{"code": {"123456"}}).location())
	if done.situation() != "paid" {
		t.Fatal(done.main())
	}
	if h := w.sandbank.heard; len(h) != 4 || h[0].PSUID != "paula" || h[0].Password != "p4ss-canary" || h[1].MethodID != "sms" || h[3].Code != "123456" {
		t.Fatalf("%d answers reached the bank", len(h))
	}
	if n := len(w.sandbank.placed()); n != 1 {
		t.Fatalf("%d orders", n)
	}
}

func TestAnswersAreTakenFromTheBoundBrowserAndItsOwnFormOnly(t *testing.T) { // B01, B03
	w := newWorld(t)
	w.embedded()
	b, other := w.browser(), w.browser()
	_, path := w.start()
	to := b.toBank(path)
	action, fields := b.get(to).form("answer")
	fields.Set("password", "x")
	for what, send := range map[string]func() *answer{
		"another browser": func() *answer { return other.do(http.MethodPost, action, fields) },
		"another site":    func() *answer { return b.do(http.MethodPost, action, fields, "Sec-Fetch-Site", "cross-site") },
		"a forged ticket": func() *answer {
			forged := url.Values{"kind": fields["kind"], "password": {"x"}, "ticket": {strings.Repeat("A", 64)}}
			return b.do(http.MethodPost, action, forged)
		},
		"another question": func() *answer {
			return b.do(http.MethodPost, action, url.Values{"kind": {"code"}, "code": {"1"}, "ticket": fields["ticket"]})
		},
		"an unreadable box": func() *answer {
			return b.do(http.MethodPost, action, url.Values{"kind": fields["kind"], "ticket": fields["ticket"], "sealed": {"a..b.c.d"}})
		},
		"the picture of nothing": func() *answer { return b.get(to + "/challenge") },
	} {
		if got := send(); got.StatusCode < 400 || len(w.sandbank.heard) != 0 {
			t.Errorf("%s: status %d, the bank heard %d", what, got.StatusCode, len(w.sandbank.heard))
		}
	}
}

func TestWhoPaysIsAskedBeforeTheOrderWhereTheBankWantsIt(t *testing.T) {
	w := newWorld(t)
	w.sandbank.wants = psd2.PromptIdentify
	b := w.browser()
	_, path := w.start()
	page := b.toConfirm(path)
	again := b.submit(page, "pay").want(http.StatusBadRequest)
	if len(w.sandbank.placed()) != 0 || !strings.Contains(again.main(), "sign in at Sandbank") {
		t.Fatal(again.main())
	}
	action, fields := again.form("pay")
	fields.Set("psu_id", "paula")
	b.do(http.MethodPost, action, fields).location()
	if o := w.sandbank.placed(); len(o) != 1 || o[0].PSU.ID != "paula" {
		t.Fatalf("%+v", o)
	}
}

func TestWrongAccountIsSaidBesideItsField(t *testing.T) {
	w := newWorld(t)
	w.sandbank.debtor = true
	b := w.browser()
	_, path := w.start()
	page := b.toConfirm(path)
	for _, wrong := range []string{"", "DE00", "DE89370400440532013001"} {
		action, fields := page.form("pay")
		fields.Set("iban", wrong)
		again := b.do(http.MethodPost, action, fields).want(http.StatusBadRequest)
		if first(again.doc, func(n *html.Node) bool { return attr(n, "id") == "iban-error" }) == nil || len(w.sandbank.placed()) != 0 {
			t.Fatalf("%q: %s", wrong, again.main())
		}
	}
	action, fields := page.form("pay")
	fields.Set("iban", "de89 3704 0044 0532 0130 00")
	b.do(http.MethodPost, action, fields).location()
	if o := w.sandbank.placed(); len(o) != 1 || o[0].Debtor != "DE89370400440532013000" {
		t.Fatalf("%+v", o)
	}
}

func TestNotificationOfABankIsOnlyAReasonToAsk(t *testing.T) {
	w := newWorld(t)
	b, stranger := w.browser(), w.browser()
	id, path := w.start()
	b.toBank(path)
	attempt := w.payment(id).Last().ID
	w.clock.Add(2 * time.Second)
	before := w.sandbank.calls()
	stranger.do(http.MethodPost, "/notify/"+attempt, url.Values{"transactionStatus": {"ACSC"}}, "Sec-Fetch-Site", "").want(http.StatusNoContent)
	if w.sandbank.calls() != before+1 || w.payment(id).State != psd2.StateAuthorizing {
		t.Fatalf("asked %d times, state %s", w.sandbank.calls()-before, w.payment(id).State)
	}
	stranger.do(http.MethodPost, "/notify/att_00000000000000000000000000", url.Values{}, "Sec-Fetch-Site", "").want(http.StatusNoContent) // learns nothing
}

// TestPasswordLeavesTheBrowserSealed: what the payer types for his bank is in no
// request in clear.
func TestPasswordLeavesTheBrowserSealed(t *testing.T) {
	w := newLoopbackWorld(t)
	w.embedded()
	var bodies []string
	inner := w.server.Config.Handler
	w.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.sites.Lock()
		bodies = append(bodies, string(raw))
		w.sites.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(raw))
		inner.ServeHTTP(rw, r)
	})
	c := chromium.Open(t, chromium.Options{Name: "consent", Width: 390})
	_, path := w.start()
	c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
	c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
	c.Press(chromium.Named("pay"), chromium.Named("answer"))
	c.Type("#psu_id", "paula")
	c.Type("#password", "p4ss-canary")
	c.Press(chromium.Named("answer"), chromium.Named("method-sms"))
	c.Shot("method")
	c.Press(chromium.Named("answer"), "#code")
	c.Shot("code")
	c.Type("#code", "123456")
	c.Press(chromium.Named("answer"), `.notice[role="alert"]`) // the bank wants it again
	w.sandbank.mu.Lock()
	heard := w.sandbank.heard
	w.sandbank.mu.Unlock()
	if len(heard) != 3 || heard[0].PSUID != "paula" || heard[0].Password != "p4ss-canary" || heard[1].MethodID != "sms" || heard[2].Code != "123456" {
		t.Fatalf("%d answers reached the bank", len(heard))
	}
	w.sites.Lock()
	defer w.sites.Unlock()
	all := strings.Join(bodies, "\n")
	for _, secret := range []string{"p4ss-canary", "paula", "code=123456", base64.StdEncoding.EncodeToString([]byte("p4ss-canary"))} {
		if strings.Contains(all, secret) {
			t.Errorf("%q left the browser in clear", secret)
		}
	}
	c.Quiet()
}
