package sim

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
)

// payer is one person paying one deposit, as impatient as people are.
type payer struct {
	world   *world
	payment string
	tries   int
	nonces  int
}

func (w *world) arrive(paymentID string) {
	y := &payer{world: w, payment: paymentID}
	w.after(w.chance.between(time.Second, time.Minute), y.chooses)
	if w.chance.in(10) {
		w.after(w.chance.between(5*time.Second, 20*time.Minute), y.cancels)
	}
}

// visit is one request of his browser; when it comes to nothing he reloads.
func (y *payer) visit(what string, do func(p *process) error, then func(ok bool)) {
	w := y.world
	p := w.somebody()
	if p == nil {
		w.after(3*time.Second, func() { then(false) })
		return
	}
	var err error
	w.spawn(p, "payer "+what, func() {
		if err = do(p); err != nil {
			w.say("payer of %s %s: %v", y.payment, what, err)
		}
	}, func(whole bool) { then(whole && err == nil) })
}

// chooses is him at the page of banks.
func (y *payer) chooses() {
	w := y.world
	if y.tries++; y.tries > 5 || w.over {
		return
	}
	bank := manners[w.chance.IntN(len(manners))].id
	nonce := y.nonce()
	clicks := 1
	if w.chance.in(5) {
		clicks = 2
	}
	for i := range clicks {
		if i > 0 && w.chance.in(2) {
			nonce = y.nonce() // another tab
		}
		used := nonce
		w.after(time.Duration(i)*w.chance.between(0, 2*time.Second), func() {
			var back *psd2.Payment
			var to string
			y.visit("confirms at "+bank, func(p *process) (err error) {
				back, to, err = p.authorise(y.payment, bank, used)
				return err
			}, func(ok bool) {
				if ok {
					y.goes(back, to)
				} else if i == 0 {
					w.after(w.chance.between(2*time.Second, 20*time.Second), y.reloads)
				}
			})
		})
	}
}

func (y *payer) nonce() string {
	y.nonces++
	return fmt.Sprintf("nonce-%d", y.nonces)
}

// reloads is him looking where he stands.
func (y *payer) reloads() {
	var p *psd2.Payment
	y.visit("reloads", func(at *process) (err error) {
		p, err = at.hub.Payment(context.Background(), y.payment)
		return err
	}, func(ok bool) {
		w := y.world
		if y.tries++; y.tries > 9 || w.over {
			return
		}
		if !ok {
			w.after(w.chance.between(2*time.Second, 20*time.Second), y.reloads)
			return
		}
		to := ""
		if a := p.Open(); a != nil {
			to = p.Personal.Attempts[a.ID].Prompt.RedirectURL
		}
		y.goes(p, to)
	})
}

// goes on from what the hub's page shows.
func (y *payer) goes(p *psd2.Payment, to string) {
	w, a := y.world, p.Open()
	switch {
	case to != "":
		y.atBank(a, to)
	case a != nil && a.Prompt == psd2.PromptCode:
		y.types(a.ID)
	case p.State == psd2.StateAuthorizationRequired:
		w.after(w.chance.between(time.Second, 30*time.Second), y.chooses)
	case a != nil && w.chance.in(2):
		w.after(w.chance.between(3*time.Second, 30*time.Second), y.reloads)
	}
}

// atBank is him on his bank's own page.
func (y *payer) atBank(a *psd2.Attempt, to string) {
	w := y.world
	host, id, _ := strings.Cut(strings.TrimPrefix(to, "https://"), "/")
	b := w.banks[strings.TrimSuffix(host, ".example")]
	o := b.orders[id]
	die := w.chance.IntN(12)
	wait := w.chance.between(3*time.Second, 2*time.Minute)
	if die == 9 { // he has dinner first
		wait, die = w.chance.between(10*time.Minute, 90*time.Minute), 0
	}
	w.after(wait, func() { b.answered(o, die) })
	if a == nil {
		return
	}
	for range oneOf(w.chance, 0, 1, 1, 1, 2) { // he comes back, or does not, or reloads the page
		w.after(wait+w.chance.between(100*time.Millisecond, 8*time.Second), func() {
			y.visit("is back", func(p *process) error {
				_, _, err := p.hub.Returned(context.Background(), a.ID, nil)
				return err
			}, func(bool) {})
		})
	}
	w.after(wait+w.chance.between(5*time.Second, 40*time.Second), y.reloads)
}

// types relays the code that his bank has sent him.
func (y *payer) types(attemptID string) {
	w := y.world
	code := "right"
	if w.chance.in(4) {
		code = "wrong"
	}
	nonce := y.nonce()
	for i := range oneOf(w.chance, 1, 1, 1, 2) {
		w.after(w.chance.between(2*time.Second, time.Minute), func() {
			var p *psd2.Payment
			y.visit("types a code", func(at *process) (err error) {
				p, _, err = at.hub.Answer(context.Background(), attemptID, nonce, psd2.PromptCode, psd2.PromptAnswer{Code: code})
				return err
			}, func(ok bool) {
				switch {
				case i > 0:
				case ok:
					y.goes(p, "")
				default:
					w.after(w.chance.between(2*time.Second, 20*time.Second), y.reloads)
				}
			})
		})
	}
}

func (y *payer) cancels() {
	y.visit("cancels", func(p *process) error {
		_, err := p.hub.CancelByPayer(context.Background(), y.payment)
		return err
	}, func(bool) {})
}

// authorise is the confirmed consent.
func (p *process) authorise(paymentID, bankID, nonce string) (*psd2.Payment, string, error) {
	return p.hub.Authorise(context.Background(), paymentID, bankID, nonce, browser, hub.Browser{})
}
