package consent_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
	"github.com/rialto-hub/rialto/sca"
)

// TestPagesAreAccessible holds every page of a payment against axe-core, in
// every look, in both languages.
func TestPagesAreAccessible(t *testing.T) {
	for _, lang := range []string{"en", "de"} {
		t.Run(lang, func(t *testing.T) {
			w := newAskingLoopbackWorld(t, "")
			c := chromium.Open(t, chromium.Options{Name: lang, Language: lang})
			c.Axe()
			at := func(path string, wait, name string) {
				t.Helper()
				c.Go(w.server.URL+path, chromium.Named(wait))
				c.Accessible(name)
			}
			id, path := w.start()
			at(path, "bank-sandbank", "banks")
			at(path+"?q="+url.QueryEscape("zzz"), "help", "no bank")
			at(path+"/about", "provider", "about")
			at("/status", "lead", "health")
			at("/pay/pay_00000000000000000000000000", "lead", "elsewhere")
			at("/nowhere", "lead", "not found")
			c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
			c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
			c.Press("summary", chromium.Named("agree"))
			c.Accessible("confirm")
			c.Press(chromium.Named("pay"), "#bank")
			at("/pay/"+id, "to-bank", "at the bank")
			w.clock.Add(2 * time.Second)
			w.sandbank.decide(banks.Status{Transaction: "RJCT", Reason: "AM04"})
			at(w.returnPath(), "retry", "refused")
			c.Press(chromium.Named("retry"), chromium.Named("pay"))
			c.Press(chromium.Named("pay"), "#bank")
			w.sandbank.decide(banks.Status{Transaction: "ACSC"})
			at(w.returnPath(), "enrol", "paid")

			code := w.withTOTP()
			w.ask.level = sca.Any
			id, path = w.start()
			c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
			c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
			c.Press(chromium.Named("pay"), "#code")
			at("/pay/"+id, "to-confirm", "confirmation open")
			c.Press(chromium.Named("to-confirm"), "#code")
			c.Type("#code", code())
			c.Press(chromium.Named("pay-code"), chromium.Named("confirmed"))
			c.Accessible("confirmed")

			w.ask.level = ""
			w.embedded()
			_, path = w.start()
			c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
			c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
			c.Press(chromium.Named("pay"), chromium.Named("answer"))
			c.Accessible("password")
			c.Type("#psu_id", "paula")
			c.Type("#password", "secret")
			c.Press(chromium.Named("answer"), chromium.Named("method-sms"))
			c.Accessible("method")
			c.Press(chromium.Named("answer"), "#code")
			c.Accessible("code")
			w.sandbank.prompt = psd2.Prompt{}

			w.sandbank.wants = psd2.PromptIdentify
			_, path = w.start()
			c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
			c.Press(chromium.Named("bank-sandbank"), "#psu_id")
			c.Accessible("confirm with a field")
		})
	}
}
