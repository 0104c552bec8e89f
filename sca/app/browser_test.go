package app_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
	"github.com/rialto-hub/rialto/sca"
)

// until waits until a page says yes.
func until(c *chromium.Browser, expression string) {
	chromium.Value(c, chromedp.Poll[bool](expression))
}

// openFactors goes through a one-time link to a person's own factors.
func openFactors(c *chromium.Browser, link string) {
	c.Go(link, chromium.Named("go"))
	c.Press(chromium.Named("go"), chromium.Named("out"))
}

func (w *world) payURL(c sca.Challenge) string { return w.origin + "/start?id=" + c.ID }

func TestPasskeyFromEnrolmentToPayment(t *testing.T) { // A27, A33
	for _, lang := range []string{"en", "de"} {
		w := newWorld(t, false)
		c := chromium.Open(t, chromium.Options{Name: "sca", Width: 390, Language: lang})
		c.Authenticator(true)
		openFactors(c, w.enrolLink())
		c.Press(chromium.Named("add-passkey"), chromium.Named("factors"))
		ch := w.begin(sca.WithPasskey, lang)
		c.Go(w.payURL(ch), chromium.Named("pay-passkey"))
		if got := c.Text(chromium.Named("shown")); !strings.Contains(got, "25") || !strings.Contains(got, "Casino Example Ltd") {
			t.Errorf("the page shows %q", got)
		}
		c.Press(chromium.Named("pay-passkey"), "#done")
		if s := w.state(ch.ID); s != sca.Approved {
			t.Errorf("the challenge is %s", s)
		}
		c.Quiet()
	}
}

func TestBrowserThatVerifiesNobodyGetsNoPasskey(t *testing.T) { // A27
	w := newWorld(t, false)
	c := chromium.Open(t, chromium.Options{Name: "sca"})
	c.Authenticator(false)
	openFactors(c, w.enrolLink())
	c.Do("try", chromedp.Click(chromium.Named("add-passkey")))
	until(c, `document.querySelector("[data-said]").textContent !== ""`)
	list, err := w.sca.Factors(t.Context(), w.person)
	must(t, err)
	if len(list) != 0 {
		t.Errorf("a passkey was enrolled without verification: %+v", list)
	}
}

// pairPhone pairs a second browser as the push device.
func pairPhone(t *testing.T, w *world, desk *chromium.Browser) *chromium.Browser {
	t.Helper()
	openFactors(desk, w.enrolLink())
	desk.Press(chromium.Named("add-push"), chromium.Named("pair-here"))
	address := chromium.Value(desk, chromedp.AttributeValue(chromium.Named("pair-here"), "href")).Value
	phone := chromium.Open(t, chromium.Options{Name: "phone", Width: 390})
	phone.Go(address, chromium.Named("pair"))
	if at := chromium.Value(phone, chromedp.Evaluate[string](`location.href`)); strings.Contains(at, "#") {
		t.Errorf("the token stays in the address %q", at)
	}
	phone.Press(chromium.Named("pair"), chromium.Named("pair-number"))
	number := phone.Text(chromium.Named("pair-number"))
	desk.Type("#number", number)
	desk.Press(chromium.Named("confirm"), chromium.Named("factors"))
	phone.Press(chromium.Named("paired"), chromium.Named("idle"))
	return phone
}

func TestPhoneConfirmsInASecondBrowser(t *testing.T) { // A20, A21
	w := newWorld(t, false)
	desk := chromium.Open(t, chromium.Options{Name: "desk"})
	phone := pairPhone(t, w, desk)
	ch := w.begin(sca.Strong, "en")
	desk.Go(w.payURL(ch), chromium.Named("pay-push"))
	desk.Press(chromium.Named("pay-push"), chromium.Named("number"))
	number := desk.Text(chromium.Named("number"))
	phone.Wait(chromium.Named("approve")) // without a click
	// Not within the amount or the account.
	alone := regexp.MustCompile(`(^|[^0-9A-Z.])` + number + `([^0-9A-Z.]|$)`)
	if got := phone.Text(chromium.Named("shown")); !strings.Contains(got, "EUR 25.00") || !strings.Contains(got, "website casino.example") || alone.MatchString(got) {
		t.Errorf("the phone shows %q", got)
	}
	phone.Type("#number", number)
	phone.Press(chromium.Named("approve"), chromium.Named("said"))
	desk.Wait("#done") // without a click
	if s := w.state(ch.ID); s != sca.Approved || !w.elsewhere() {
		t.Errorf("the challenge is %s, from elsewhere: %t", s, w.elsewhere())
	}
	receipt, err := w.sca.Receipt(t.Context(), paymentID)
	must(t, err)
	desk.Go(w.origin+"/sca/receipt", chromium.Named("check"))
	desk.Do("paste the receipt", chromedp.SetValue(chromedp.CSS("#receipt"), receipt))
	desk.Do("check it", chromedp.Click(chromium.Named("check")))
	until(desk, `document.querySelector("[data-text]").textContent.includes("EUR 25.00")`)
	other := "AAA"
	if strings.HasSuffix(receipt, other) {
		other = "BBB"
	}
	desk.Do("change it", chromedp.SetValue(chromedp.CSS("#receipt"), receipt[:len(receipt)-3]+other), chromedp.Click(chromium.Named("check")))
	until(desk, `document.querySelector("[data-said]").textContent.includes("not genuine")`)
	checks(t, desk, w.forged(receipt, func(*sca.Receipt) {}), "", true)
	for name, change := range forgeries {
		checks(t, desk, w.forged(receipt, change), name, false)
	}

	// A wrong number ends the next one; "this wasn't me" the one after.
	w.clock.Add(3 * time.Minute)
	ch = w.begin(sca.Strong, "en")
	desk.Go(w.payURL(ch), chromium.Named("pay-push"))
	desk.Press(chromium.Named("pay-push"), chromium.Named("number"))
	wrong := "11"
	if desk.Text(chromium.Named("number")) == wrong {
		wrong = "12"
	}
	phone.Wait(chromium.Named("approve"))
	phone.Type("#number", wrong)
	phone.Press(chromium.Named("approve"), chromium.Named("said"))
	desk.Wait("#done")
	if s := w.state(ch.ID); s != sca.Cancelled {
		t.Errorf("after a wrong number the challenge is %s", s)
	}
	w.clock.Add(3 * time.Minute)
	ch = w.begin(sca.Strong, "en")
	desk.Go(w.payURL(ch), chromium.Named("pay-push"))
	desk.Press(chromium.Named("pay-push"), chromium.Named("number"))
	phone.Wait(chromium.Named("not-me"))
	phone.Press(chromium.Named("not-me"), chromium.Named("said"))
	desk.Wait("#done")
	if s := w.state(ch.ID); s != sca.Reported {
		t.Errorf("after a report the challenge is %s", s)
	}
	phone.Quiet()
	desk.Quiet()
}

func TestCodesWorkWithoutJavaScript(t *testing.T) { // B17
	w := newWorld(t, false)
	c := chromium.Open(t, chromium.Options{Name: "sca", Width: 390, NoScript: true})
	openFactors(c, w.enrolLink())
	c.Press(chromium.Named("add-totp"), chromium.Named("key"))
	key := c.Text(chromium.Named("key"))
	c.Type("#code", w.code(key))
	c.Press(chromium.Named("confirm"), chromium.Named("factors"))
	w.clock.Add(31 * time.Second)
	w.withMorePasskeys()
	ch := w.begin(sca.Any, "en")
	c.Go(w.payURL(ch), chromium.Named("cancel"))
	if hidden := chromium.Value(c, chromedp.AttributeValue(chromedp.CSS("form[data-passkey][hidden]"), "data-finish")); hidden.Value == "" {
		t.Error("without JavaScript a passkey is offered that cannot work")
	}
	c.Do("another way", chromedp.Click(chromedp.CSS("summary")))
	c.Type("#code", "000000")
	c.Press(chromium.Named("pay-code"), ".error")
	c.Type("#code", w.code(key))
	c.Press(chromium.Named("pay-code"), "#done")
	if s := w.state(ch.ID); s != sca.Approved {
		t.Errorf("the challenge is %s", s)
	}
}

func TestPaymentGoesOnWithThePhone(t *testing.T) { // B25, B26
	w := newWorld(t, false)
	key := w.withTOTP()
	desk := chromium.Open(t, chromium.Options{Name: "desk"})
	ch := w.begin(sca.Any, "en")
	desk.Go(w.payURL(ch), chromium.Named("phone"))
	desk.Press(chromium.Named("phone"), chromium.Named("number"))
	number := desk.Text(chromium.Named("number"))
	address := chromium.Value(desk, chromedp.Evaluate[string](`document.querySelector("[data-test=phone-url]").textContent`))
	phone := chromium.Open(t, chromium.Options{Name: "phone", Width: 390})
	phone.Go(address, chromium.Named("go"))
	phone.Press(chromium.Named("go"), chromium.Named("pay-code"))
	if got := phone.Text(chromium.Named("number")); got != number {
		t.Errorf("the phone shows %q, the desktop %q", got, number)
	}
	if got := phone.Text(chromium.Named("shown")); !strings.Contains(got, "Lucky Casino") || !strings.Contains(got, "casino.example") {
		t.Errorf("the phone shows %q", got)
	}
	desk.Wait(chromium.Named("back")) // without a click; it only watches
	phone.Type("#code", w.code(key))
	phone.Press(chromium.Named("pay-code"), chromium.Named("lead"))
	desk.Wait("#done")
	if s := w.state(ch.ID); s != sca.Approved {
		t.Errorf("the challenge is %s", s)
	}
	phone.Quiet()
	desk.Quiet()
}

func TestStaffEnrolAndSignIn(t *testing.T) { // D10
	w := newWorld(t, true)
	_, token, err := w.staff.Add(t.Context(), "olga", "Olga Operator", []string{"operator"})
	must(t, err)
	c := chromium.Open(t, chromium.Options{Name: "staff"})
	c.Authenticator(true)
	openFactors(c, w.origin+"/sca/enrol/"+token)
	c.Press(chromium.Named("add-passkey"), chromium.Named("factors"))
	c.Go(w.origin+"/staff/login?next=%2Fconsole", chromium.Named("login-passkey"))
	c.Press(chromium.Named("login-passkey"), "#done")
	c.Go(w.origin+"/sca/factors", chromium.Named("add-password")) // the session has proved itself
	c.Type("#password", "correct horse battery")
	c.Press(chromium.Named("add-password"), ".notice.done")
	c.Quiet()
}

func TestPictures(t *testing.T) {
	if os.Getenv("RIALTO_SCREENSHOT_DIR") == "" {
		t.Skip("RIALTO_SCREENSHOT_DIR names no folder for pictures of the pages")
	}
	w := newWorld(t, false)
	c := chromium.Open(t, chromium.Options{Name: "sca"})
	c.Authenticator(true)
	phone := pairPhone(t, w, c)
	c.Press(chromium.Named("add-passkey"), `[data-test="factors"] > li:nth-child(2)`) // the page before has one
	c.Shot("0-after-enrolment")
	c.Press(chromium.Named("add-totp"), chromium.Named("key"))
	c.Shot("0-totp")
	for _, lang := range []string{"en", "de"} {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{320, 1280} {
				name := func(page string) string { return fmt.Sprintf("%s-%s-%s-%d", page, lang, scheme, width) }
				c.Look(width, scheme == "dark")
				w.clock.Add(6 * time.Minute)
				openFactors(c, w.enrolLink()+"?lang="+lang)
				c.Shot(name("1-factors"))
				c.Press(chromium.Named("prove"), chromium.Named("verify-push"))
				c.Shot(name("1-verify"))
				ch := w.begin(sca.Any, lang)
				c.Go(w.payURL(ch)+"&lang="+lang, chromium.Named("pay-push"))
				c.Shot(name("2-pay"))
				c.Press(chromium.Named("phone"), chromium.Named("number"))
				c.Shot(name("3-handover"))
				c.Go(w.origin+"/sca/receipt?lang="+lang, chromium.Named("check"))
				c.Shot(name("4-receipt"))
			}
		}
	}
	phone.Shot("5-idle")
}

func TestPersonWithNothingButAPhoneAddsAPasskey(t *testing.T) {
	w := newWorld(t, false)
	desk := chromium.Open(t, chromium.Options{Name: "desk"})
	desk.Authenticator(true)
	phone := pairPhone(t, w, desk)
	desk.Leave(chromium.Named("out"), "h1")
	w.clock.Add(6 * time.Minute) // what the pairing had proved is over
	desk.Go(w.enrolLink(), chromium.Named("go"))
	desk.Press(chromium.Named("go"), chromium.Named("prove"))
	desk.Press(chromium.Named("prove"), chromium.Named("verify-push"))
	desk.Press(chromium.Named("verify-push"), chromium.Named("number"))
	number := desk.Text(chromium.Named("number"))
	phone.Wait(chromium.Named("approve"))
	if got := phone.Text(chromium.Named("shown")); !strings.Contains(got, "Change your ways to confirm payments") {
		t.Errorf("the phone shows %q", got)
	}
	phone.Type("#number", number)
	phone.Press(chromium.Named("approve"), chromium.Named("said"))
	desk.Wait(chromium.Named("add-passkey")) // without a click
	desk.Press(chromium.Named("add-passkey"), `[data-test="factors"] > li:nth-child(2)`)
	phone.Quiet()
	desk.Quiet()
}
