package main

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit/browser"
)

func startWorld(t *testing.T) *demo.World {
	t.Helper()
	w, err := demo.Start(t.Context(), demo.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func credentials(t *testing.T, w *demo.World, user string) psu.Credentials {
	t.Helper()
	c, err := psu.Operator{Client: payer.NewClient(nil), Origin: w.BankURL}.Persona(t.Context(), "sandbank", user)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPayAsAPersonWould goes from the casino's page to the bank and back to a
// raised balance: German and English, phone and desktop, with and without
// JavaScript.
func TestPayAsAPersonWould(t *testing.T) {
	w := startWorld(t)
	for _, c := range []struct {
		name, language, player, user, words string
		width                               int64
		script, dark                        bool
	}{
		{"german-phone", "de", "Anna Beispiel", "anna", "bezahlt", 390, true, false},
		{"english-desktop", "en", "Bert Muster", "bert", "paid", 1280, true, true},
		{"german-noscript", "de", "Anna Beispiel", "anna", "bezahlt", 1280, false, false},
		{"english-noscript", "en", "Bert Muster", "bert", "paid", 390, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := browser.Open(t, browser.Options{Name: c.name, Language: c.language, Width: c.width, Dark: c.dark, NoScript: !c.script})
			before := w.Casino.Balance(c.player)
			p.Go(w.CasinoURL+"/?player="+strings.ReplaceAll(c.player, " ", "+"), browser.Named("deposit"))
			p.Press(browser.Named("deposit"), browser.Named("bank-sandbank"))
			p.Shot("choose")
			p.Press(browser.Named("bank-sandbank"), browser.Named("pay"))
			p.Shot("confirm")
			if leaving := p.Text(browser.Named("leaving")); !strings.Contains(leaving, "bank.localhost") {
				t.Errorf("the page does not say where it leads: %q", leaving)
			}
			p.Press(browser.Named("pay"), "#user")
			p.Shot("bank-login")
			login := credentials(t, w, c.user)
			p.Type("#user", login.User)
			p.Type("#password", login.Password)
			p.Press(`button[value="login"]`, "#code")
			p.Shot("bank-confirm")
			p.Type("#code", freshCode(t, w, login))
			p.Press(`button[value="pay"]`, `[data-situation="arrived"]`)
			p.Shot("result")
			if lead := p.Text(browser.Named("lead")); !strings.Contains(strings.ToLower(lead), c.words) {
				t.Errorf("the first sentence does not say that money moved: %q", lead)
			}
			p.Press(browser.Named("back"), browser.Named("message"))
			waitFor(t, func() bool { return w.Casino.Balance(c.player) == before+2500 })
			p.Shot("casino")
			p.Quiet()
		})
	}
}

// used remembers codes: the bank takes each only once.
var used sync.Map

// freshCode is a code of the persona's phone that the bank has not seen. A
// second payment within the same half minute must wait for the next code, as a
// person would; the bank takes one from the step ahead, so we take that.
func freshCode(t *testing.T, w *demo.World, c psu.Credentials) string {
	t.Helper()
	for ahead := range 2 {
		code, err := psu.TOTP(c.TOTPSecret, time.Now().Add(time.Duration(ahead)*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if _, taken := used.LoadOrStore(w.BankURL+c.TOTPSecret+code, true); !taken {
			return code
		}
	}
	t.Fatal("no unused code")
	return ""
}

// waitFor waits for something another goroutine does.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-deadline:
			t.Fatal("it never happened")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestDeclineAtTheBankOffersAnotherTry: B24. The first sentence says that
// nothing was paid, and another bank can be chosen.
func TestDeclineAtTheBankOffersAnotherTry(t *testing.T) {
	w := startWorld(t)
	p := browser.Open(t, browser.Options{Name: "decline", Width: 390})
	payment, err := w.Casino.Deposit(t.Context(), "Dora Nein", 2500, "en")
	if err != nil {
		t.Fatal(err)
	}
	p.Go(payment.HostedPage.URL, browser.Named("bank-sandbank"))
	p.Press(browser.Named("bank-sandbank"), browser.Named("pay"))
	p.Press(browser.Named("pay"), "#user")
	p.Press(`button[value="decline"]`, browser.Named("lead"))
	p.Shot("declined")
	if lead := p.Text(browser.Named("lead")); !strings.Contains(strings.ToLower(lead), "nothing") {
		t.Errorf("the first sentence does not say that nothing was paid: %q", lead)
	}
	p.Press(browser.Named("others"), browser.Named("bank-deichbank"))
	p.Shot("other-bank")
	p.Quiet()
}

// TestClosedTabStillEndsRight: the payer approves and never comes back; B22.
func TestClosedTabStillEndsRight(t *testing.T) {
	w := startWorld(t)
	payment, err := w.Casino.Deposit(t.Context(), "Anna Beispiel", 2500, "en")
	if err != nil {
		t.Fatal(err)
	}
	c := credentials(t, w, "anna")
	person := payer.Payer{Client: payer.NewClient(nil), Bank: "sandbank", Credentials: c, Now: time.Now, NeverReturns: true}
	if _, err := person.Pay(t.Context(), payment.HostedPage.URL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := w.Casino.Await(ctx, payment.ID, psd2.EventSettled); err != nil {
		t.Fatal("the hub did not look by itself: ", err)
	}
}
