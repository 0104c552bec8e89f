package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
	"github.com/rialto-hub/rialto/sca"
)

// TestPagesAreAccessible holds every page against axe-core, in every look, in
// both languages.
func TestPagesAreAccessible(t *testing.T) {
	for _, lang := range []string{"en", "de"} {
		t.Run(lang, func(t *testing.T) {
			w := newWorld(t, false)
			c := chromium.Open(t, chromium.Options{Name: lang, Language: lang})
			c.Axe()
			c.Authenticator(true)
			c.Go(w.enrolLink(), chromium.Named("go"))
			c.Accessible("link")
			c.Press(chromium.Named("go"), chromium.Named("out"))
			c.Accessible("no factors")
			c.Press(chromium.Named("add-push"), chromium.Named("pair-here"))
			c.Accessible("pair")
			phone := pairPhone(t, w, c)
			phone.Axe()
			phone.Accessible("device, idle")
			c.Press(chromium.Named("add-passkey"), `[data-test="factors"] > li:nth-child(2)`)
			c.Do("open the factor", chromedp.Click(chromedp.CSS("summary")))
			c.Accessible("factors")
			c.Press(chromium.Named("add-totp"), chromium.Named("key"))
			c.Accessible("authenticator app")
			key := c.Text(chromium.Named("key"))
			c.Type("#code", "000000")
			c.Press(chromium.Named("confirm"), ".error")
			c.Accessible("wrong code")
			c.Type("#code", w.code(key))
			c.Press(chromium.Named("confirm"), `[data-test="factors"] > li:nth-child(3)`)
			c.Press(chromium.Named("add-recovery"), chromium.Named("codes"))
			c.Accessible("recovery codes")
			w.clock.Add(31 * time.Second)

			ch := w.begin(sca.Any, lang)
			c.Go(w.payURL(ch), chromium.Named("pay-push"))
			c.Do("another way", chromedp.Click(chromedp.CSS("summary")))
			c.Accessible("pay")
			c.Press(chromium.Named("phone"), chromium.Named("number"))
			c.Accessible("go on with the phone")
			c.Go(w.payURL(ch), chromium.Named("pay-push"))
			c.Press(chromium.Named("pay-push"), chromium.Named("number"))
			c.Accessible("the phone is asked")
			phone.Wait(chromium.Named("approve"))
			phone.Accessible("device, asked")
			phone.Press(chromium.Named("decline"), chromium.Named("said"))
			phone.Accessible("device, answered")
			c.Wait("#done")

			c.Go(w.enrolLink(), chromium.Named("go"))
			c.Press(chromium.Named("go"), chromium.Named("prove"))
			c.Accessible("factors without a proof")
			c.Press(chromium.Named("prove"), chromium.Named("verify-code"))
			c.Accessible("prove yourself")
			c.Go(w.origin+"/sca/receipt", chromium.Named("check"))
			c.Accessible("receipt")
			c.Go(w.origin+"/sca/nowhere", chromium.Named("lead"))
			c.Accessible("not found")
		})
	}
	t.Run("staff", func(t *testing.T) {
		w := newWorld(t, true)
		_, token, err := w.staff.Add(t.Context(), "olga", "Olga Operator", []string{"operator"})
		must(t, err)
		c := chromium.Open(t, chromium.Options{Name: "staff"})
		c.Axe()
		c.Authenticator(true)
		c.Go(w.origin+"/staff/login", chromium.Named("login-passkey"))
		c.Do("without a passkey", chromedp.Click(chromedp.CSS("summary")))
		c.Accessible("sign in")
		openFactors(c, w.origin+"/sca/enrol/"+token)
		c.Accessible("factors of staff")
	})
}

func TestTimeLimitWarnsAndGivesMore(t *testing.T) { // B29
	w := newWorld(t, false)
	key := w.withTOTP()
	c := chromium.Open(t, chromium.Options{Name: "limit", Width: 390})
	ch := w.begin(sca.Any, "en")
	c.Go(w.payURL(ch), chromium.Named("more"))
	if got := c.Text(chromium.Named("warned")); got != "" {
		t.Errorf("warned with five minutes left: %q", got)
	}
	w.clock.Add(5*time.Minute - 32*time.Second)
	c.Go(w.payURL(ch), chromium.Named("more"))
	if chromium.Value(c, chromedp.Evaluate[bool](`document.querySelector("[data-test=warned]").textContent !== "" && performance.now() < 2000`)) {
		t.Error("warned with more than 30 seconds left")
	}
	until(c, `document.querySelector("[role=alert]").textContent.includes("less than 30 seconds")`)
	if open := chromium.Value(c, chromedp.Evaluate[float64](`performance.now() / 1000`)); open > 12 {
		t.Errorf("the warning came %.0f seconds before the end, want at least 20", 32-open)
	}
	c.Shot("warned")
	if got := chromium.Value(c, chromedp.Evaluate[string](`document.activeElement.tagName`)); got != "BODY" && got != "MAIN" {
		t.Errorf("the warning takes the focus to %s", got)
	}
	shown := c.Text(chromium.Named("shown"))
	c.Press(chromium.Named("more"), ".notice[role=status]")
	if c.Text(chromium.Named("shown")) != shown || c.Text(chromium.Named("warned")) != "" || !strings.Contains(c.Text(chromium.Named("left")), "5 minutes") {
		t.Error("the page with more time is another")
	}
	w.clock.Add(time.Minute) // beyond the first end
	c.Type("#code", w.code(key))
	c.Press(chromium.Named("pay-code"), "#done")
	if s := w.state(ch.ID); s != sca.Cancelled {
		t.Errorf("the first one is %s", s)
	}
	c.Quiet()
}

// TestEndOfTimeIsShownWithoutAClick: whoever lets it pass is told.
func TestEndOfTimeIsShownWithoutAClick(t *testing.T) {
	w := newWorld(t, false)
	w.withTOTP()
	c := chromium.Open(t, chromium.Options{Name: "limit", Width: 390})
	ch := w.begin(sca.Any, "en")
	w.clock.Add(5*time.Minute - time.Second)
	c.Go(w.payURL(ch), chromium.Named("warned"))
	w.clock.Add(2 * time.Second)
	c.Wait("#done")
	if s := w.state(ch.ID); s != sca.Expired {
		t.Errorf("it is %s", s)
	}
}

// TestMoreTimeOnThePhone: the phone that a payment was handed to keeps it.
func TestMoreTimeOnThePhone(t *testing.T) {
	w := newWorld(t, false)
	key := w.withTOTP()
	ch := w.begin(sca.Any, "en")
	token, err := w.sca.HandOver(t.Context(), ch.ID, sca.SessionHash(boundSecret))
	must(t, err)
	phone := chromium.Open(t, chromium.Options{Name: "phone", Width: 390, NoScript: true})
	phone.Go(w.origin+"/sca/phone/"+token, chromium.Named("go"))
	phone.Press(chromium.Named("go"), chromium.Named("pay-code"))
	w.clock.Add(time.Second) // the newer challenge is known by its time
	phone.Press(chromium.Named("more"), ".notice[role=status]")
	phone.Type("#code", w.code(key))
	phone.Press(chromium.Named("pay-code"), chromium.Named("lead"))
	latest, err := w.sca.Latest(t.Context(), paymentID, sca.SessionHash(boundSecret))
	must(t, err)
	if latest.ID == ch.ID || latest.State != sca.Approved {
		t.Errorf("%s is %s", latest.ID, latest.State)
	}
}
