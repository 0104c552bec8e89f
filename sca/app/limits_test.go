package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
	"github.com/rialto-hub/rialto/sca"
)

// said waits until an element says something.
func said(c *chromium.Browser, name, text string) {
	until(c, `document.querySelector("[data-test=`+name+`]").textContent.includes("`+text+`")`)
}

// TestDeviceWarnsAndGivesMoreTime: half a minute before the end of a question.
func TestDeviceWarnsAndGivesMoreTime(t *testing.T) { // B29
	w := newWorld(t, false)
	desk := chromium.Open(t, chromium.Options{Name: "desk"})
	phone := pairPhone(t, w, desk)
	ch := w.begin(sca.Strong, "en")
	desk.Go(w.payURL(ch), chromium.Named("pay-push"))
	desk.Press(chromium.Named("pay-push"), chromium.Named("number"))
	phone.Wait(chromium.Named("approve"))
	if left := phone.Text(chromium.Named("left")); !strings.Contains(left, "120 seconds") || phone.Text(chromium.Named("warned")) != "" {
		t.Errorf("at first: %q", left)
	}
	w.clock.Add(91 * time.Second)
	phone.Go(w.origin+"/sca/device", chromium.Named("approve"))
	said(phone, "warned", "less than 30 seconds")
	phone.Shot("device-warned")
	phone.Type("#number", desk.Text(chromium.Named("number")))
	phone.Do("ask for more time", chromedp.Click(chromium.Named("more")))
	said(phone, "left", "120 seconds")
	if got := phone.Text(chromium.Named("warned")); got != "" {
		t.Errorf("with more time it still warns: %q", got)
	}
	w.clock.Add(60 * time.Second) // beyond the first end; what was typed is still there
	phone.Press(chromium.Named("approve"), chromium.Named("said"))
	desk.Wait("#done")
	if s := w.state(ch.ID); s != sca.Approved {
		t.Errorf("the challenge is %s", s)
	}
	phone.Quiet()
	desk.Quiet()
}

// TestPicturesWarnOfTheirEnd: the QR codes of a hand-over and of pairing, each
// with a new one for the asking.
func TestPicturesWarnOfTheirEnd(t *testing.T) { // B29
	w := newWorld(t, false)
	w.withTOTP()
	c := chromium.Open(t, chromium.Options{Name: "picture", Width: 390})
	ch := w.begin(sca.Any, "en")
	w.clock.Add(5*time.Minute - 31*time.Second) // the picture ends with the challenge
	c.Go(w.payURL(ch), chromium.Named("phone"))
	c.Press(chromium.Named("phone"), chromium.Named("again"))
	said(c, "warned", "less than 30 seconds")
	c.Shot("handover-warned")
	c.Go(w.payURL(ch), chromium.Named("more"))
	c.Press(chromium.Named("more"), ".notice[role=status]")
	c.Press(chromium.Named("phone"), chromium.Named("again"))
	first := c.Text(chromium.Named("phone-url"))
	if got := c.Text(chromium.Named("warned")); got != "" {
		t.Errorf("with time enough: %q", got)
	}
	c.Leave(chromium.Named("again"), chromium.Named("again"))
	if c.Text(chromium.Named("phone-url")) == first {
		t.Error("the new picture is the old one")
	}
	c.Quiet()
}

// TestIdlePageWarnsAndStays: what is shown once, and what was typed, stays. The
// page was loaded when little of its session's whole life was left.
func TestIdlePageWarnsAndStays(t *testing.T) { // B29, R-05
	w := newWorld(t, false)
	c := chromium.Open(t, chromium.Options{Name: "idle", Width: 390})
	openFactors(c, w.enrolLink())
	for range 7 { // a session lives for half an hour in all
		w.clock.Add(4 * time.Minute)
		c.Go(w.origin+"/sca/factors", chromium.Named("add-totp"))
	}
	w.clock.Add(time.Minute + 29*time.Second)
	c.Press(chromium.Named("add-totp"), chromium.Named("key"))
	key := c.Text(chromium.Named("key"))
	c.Type("#code", "12")
	said(c, "idle-warned", "less than 30 seconds")
	c.Shot("idle-warned")
	must(t, w.db.Tx(t.Context(), func(tx *store.Tx) error { // as if it had begun just now
		_, err := tx.Exec(`UPDATE sca_sessions SET began_at = ? WHERE person_id = ?`, tx.Now.UnixMicro(), w.person)
		return err
	}))
	c.Do("stay", chromedp.Click(chromium.Named("stay")))
	until(c, `document.querySelector("[data-test=idle-warned]").textContent === ""`)
	if got := chromium.Value(c, chromedp.Evaluate[string](`document.querySelector("#code").value`)); got != "12" || c.Text(chromium.Named("key")) != key {
		t.Errorf("the page is another: %q", got)
	}
	c.Quiet()
}

// TestProofByPhoneWarnsAndGivesMoreTime: on the page that asked the phone.
func TestProofByPhoneWarnsAndGivesMoreTime(t *testing.T) { // B29
	w := newWorld(t, false)
	w.withDevice()
	c := chromium.Open(t, chromium.Options{Name: "verify", Width: 390})
	c.Go(w.enrolLink(), chromium.Named("go"))
	c.Press(chromium.Named("go"), chromium.Named("prove"))
	c.Press(chromium.Named("prove"), chromium.Named("verify-push"))
	c.Press(chromium.Named("verify-push"), chromium.Named("number"))
	if got := c.Text(chromium.Named("warned")); got != "" {
		t.Errorf("at first: %q", got)
	}
	w.clock.Add(91 * time.Second)
	c.Go(w.origin+"/sca/verify", chromium.Named("more"))
	said(c, "warned", "less than 30 seconds")
	c.Shot("verify-warned")
	c.Leave(chromium.Named("more"), chromium.Named("more"))
	if got := c.Text(chromium.Named("warned")); got != "" {
		t.Errorf("with more time: %q", got)
	}
	c.Quiet()
}

// TestAppCanBeInstalled: by what Chromium itself says of manifest and icons, and
// with its worker at work.
func TestAppCanBeInstalled(t *testing.T) {
	w := newWorld(t, false)
	c := chromium.Open(t, chromium.Options{Name: "app", Width: 390})
	c.Go(w.origin+"/sca/device", chromium.Named("unpaired"))
	until(c, `document.querySelector("link[rel=manifest]") !== null && document.querySelector("link[rel=apple-touch-icon]").href.endsWith(".png")`)
	until(c, `navigator.serviceWorker.ready.then((worker) => worker.active !== null)`)
	manifest := chromium.Ask(c, page.GetAppManifest, page.GetAppManifestParams{})
	if len(manifest.Errors) != 0 || !strings.Contains(manifest.Data, "icon-512.png") {
		t.Errorf("%+v %s", manifest.Errors, manifest.Data)
	}
	for _, e := range chromium.Ask(c, page.GetInstallabilityErrors, cdp.Empty{}).InstallabilityErrors {
		t.Errorf("not installable: %s %+v", e.ErrorID, e.ErrorArguments)
	}
	c.Quiet()
}

// hostile is text as a merchant, a bank or a name may bring it.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'-alert(1)-'`, `</textarea><svg onload=alert(1)>`, `{{.Secret}}`, `javascript:alert(1)`,
	"Casino\u202egpj.exe", "Casi\u200bno", "\u2066Casino\u2069", "Casino\u2028Pay 1.00", "a\nPay EUR 1.00",
}

// TestHostileTextStaysText: in payee and reference, on the page that asks, on the
// push device and in a receipt; what hides or reorders is shown as a mark.
func TestHostileTextStaysText(t *testing.T) { // B14, B15
	w := newWorld(t, false)
	desk := chromium.Open(t, chromium.Options{Name: "desk"})
	phone := pairPhone(t, w, desk)
	look := func(c *chromium.Browser, where, text string) {
		t.Helper()
		if strings.ContainsAny(text, "\u202e\u200b\u2066\u2069\u2028") {
			t.Errorf("%s: %q has what cannot be seen", where, text)
		}
		if n := chromium.Value(c, chromedp.Evaluate[float64](`document.querySelectorAll("main script, main img, main svg:not(.qr), [onerror], [onload]").length`)); n != 0 {
			t.Errorf("%s: %q has become %v elements", where, text, n)
		}
	}
	for _, payload := range hostile {
		w.clock.Add(6 * time.Minute * 25) // pushes are few a day
		ch, err := w.sca.Begin(t.Context(), sca.BeginRequest{PersonID: w.person, Level: sca.Strong, Session: sca.SessionHash(boundSecret), Language: "en",
			Linked: sca.Linked{PaymentID: paymentID, Amount: psd2.Euro(2500), CreditorName: payload, CreditorIBAN: "MT84MALT011000012345MTLCAST001S", DebtorRef: payload}})
		must(t, err)
		desk.Go(w.payURL(ch), chromium.Named("pay-push"))
		look(desk, "the page", desk.Text(chromium.Named("shown")))
		if n := chromium.Value(desk, chromedp.Evaluate[float64](`document.querySelectorAll("[data-test=shown] bdi").length`)); n != 4 {
			t.Errorf("%q has made %v lines", payload, n)
		}
		desk.Press(chromium.Named("pay-push"), chromium.Named("number"))
		phone.Wait(chromium.Named("approve"))
		look(phone, "the phone", phone.Text(chromium.Named("shown")))
		phone.Type("#number", desk.Text(chromium.Named("number")))
		phone.Press(chromium.Named("approve"), chromium.Named("said"))
		desk.Wait("#done")
		phone.Go(w.origin+"/sca/device", chromium.Named("idle"))
		receipt, err := w.sca.Receipt(t.Context(), paymentID)
		must(t, err)
		desk.Go(w.origin+"/sca/receipt", chromium.Named("check"))
		desk.Do("paste the receipt", chromedp.SetValue(chromedp.CSS("#receipt"), receipt))
		desk.Do("check it", chromedp.Click(chromium.Named("check")))
		until(desk, `document.querySelector("[data-text]").textContent.includes("EUR 25.00")`)
		look(desk, "the receipt", desk.Text("[data-text]"))
	}
	phone.Quiet() // no dialog, nothing that the policy refused
	desk.Quiet()
}

// TestMessagesOfOtherPagesAreIgnored: a page that opened ours can say what it
// likes.
func TestMessagesOfOtherPagesAreIgnored(t *testing.T) { // B30
	w := newWorld(t, false)
	w.withTOTP()
	ch := w.begin(sca.Any, "en")
	c := chromium.Open(t, chromium.Options{Name: "messages"})
	c.Go(w.payURL(ch), chromium.Named("pay-code"))
	before := chromium.Value(c, chromedp.Evaluate[string](`document.body.innerHTML`))
	until(c, `new Promise((done) => {
		for (const data of ["approve", { type: "approve" }, { action: "cancel", challenge: "x" }, '{"state":"approved"}', { code: "000000", submit: true }]) {
			window.postMessage(data, "*");
			window.dispatchEvent(new MessageEvent("message", { data, origin: "https://evil.example" }));
		}
		const last = new MessageChannel();
		last.port1.onmessage = () => done(true);
		last.port2.postMessage(0);
	})`)
	if after := chromium.Value(c, chromedp.Evaluate[string](`document.body.innerHTML`)); after != before {
		t.Error("a message has changed the page")
	}
	if s := w.state(ch.ID); s != sca.Open {
		t.Errorf("the challenge is %s", s)
	}
	c.Quiet()
}
