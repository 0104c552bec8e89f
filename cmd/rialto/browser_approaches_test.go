package main

import (
	"net/url"
	"testing"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2/testkit/browser"
)

// TestPersonPaysAtEachKindOfBank: what a person sees and does in Chromium, at a
// bank of each approach, in both languages and at both widths.
func TestPersonPaysAtEachKindOfBank(t *testing.T) {
	w := startWorld(t)
	arrived := browser.Named("status") + `[data-situation="arrived"]`
	// At the bank's own pages: sign in, then the code.
	atBank := func(p *browser.Browser, c psu.Credentials) {
		p.Type("#user", c.User)
		p.Type("#password", c.Password)
		p.Press(`button[value="login"]`, "#code")
		p.Type("#code", freshCode(t, w, c))
		p.Press(`button[value="pay"]`, arrived)
	}
	for i, a := range []struct {
		bank, user, player string
		pay                func(p *browser.Browser, c psu.Credentials)
	}{
		{"kranichbank", "anna", "Anna Beispiel", func(p *browser.Browser, c psu.Credentials) { // explicit start
			p.Press(browser.Named("pay"), "#user")
			atBank(p, c)
		}},
		{"muehlenbank", "bert", "Bert Muster", func(p *browser.Browser, c psu.Credentials) { // a code comes back with him
			p.Press(browser.Named("pay"), "#user")
			atBank(p, c)
		}},
		{"hafenbank", "anna", "Anna Beispiel", func(p *browser.Browser, c psu.Credentials) { // he signs in before the order
			p.Press(browser.Named("pay"), "#user")
			p.Type("#user", c.User)
			p.Type("#password", c.Password)
			p.Press(`button[value="login"]`, `form[action$="/login"]`) // to the order's own page
			atBank(p, c)
		}},
		{"lindenbank", "bert", "Bert Muster", func(p *browser.Browser, c psu.Credentials) { // he confirms by OAuth
			p.Press(browser.Named("pay"), "#user")
			atBank(p, c)
		}},
		{"foerdebank", "anna", "Anna Beispiel", func(p *browser.Browser, c psu.Credentials) { // his account is in the order
			p.Type("#iban", c.Accounts[0].IBAN)
			p.Press(browser.Named("pay"), "#user")
			atBank(p, c)
		}},
		{"moorbank", "bert", "Bert Muster", func(p *browser.Browser, c psu.Credentials) { // in the bank's app
			p.Type("#psu_id", c.User)
			p.Press(browser.Named("pay"), `[data-situation="app"]`)
			p.Shot("moorbank-app")
			client := payer.NewClient(nil)
			defer client.CloseIdleConnections()
			if err := psu.Confirm(t.Context(), client, w.BankURL+"/moorbank/phone/"+c.User, psu.Wish{}); err != nil {
				t.Fatal(err)
			}
			p.Wait(arrived) // without a click
		}},
		{"inselbank", "anna", "Anna Beispiel", func(p *browser.Browser, c psu.Credentials) { // through the hosted page
			p.Press(browser.Named("pay"), "#password")
			p.Shot("inselbank-password")
			p.Type("#psu_id", c.User)
			p.Type("#password", "wrong")
			p.Press(browser.Named("answer"), `.notice[role="alert"]`)
			p.Type("#psu_id", c.User)
			p.Type("#password", c.Password)
			p.Press(browser.Named("answer"), browser.Named("method-"+psu.MethodApp))
			p.Shot("inselbank-method")
			p.Press(browser.Named("method-"+psu.MethodApp), browser.Named("answer"))
			p.Press(browser.Named("answer"), "#code")
			p.Shot("inselbank-code")
			p.Type("#code", freshCode(t, w, c))
			p.Press(browser.Named("answer"), arrived)
		}},
	} {
		t.Run(a.bank, func(t *testing.T) {
			language, width := []string{"de", "en"}[i%2], []int64{390, 1280}[i/2%2]
			p := browser.Open(t, browser.Options{Name: "approach-" + a.bank, Language: language, Width: width, Dark: i%3 == 0})
			client := payer.NewClient(nil)
			defer client.CloseIdleConnections()
			c, err := psu.Operator{Client: client, Origin: w.BankURL}.Persona(t.Context(), a.bank, a.user)
			if err != nil {
				t.Fatal(err)
			}
			before := w.Casino.Balance(a.player)
			p.Go(w.CasinoURL+"/?player="+url.QueryEscape(a.player), browser.Named("deposit"))
			p.Press(browser.Named("deposit"), "#q")
			p.Type("#q", a.bank[:4])
			p.Press(browser.Named("bank-"+a.bank), browser.Named("pay"))
			a.pay(p, c)
			p.Shot("result")
			waitFor(t, func() bool { return w.Casino.Balance(a.player) == before+2500 })
			p.Quiet()
		})
	}
}
