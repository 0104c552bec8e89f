package trial

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
)

// people are the payers of one target, a new one for each order.
type people struct {
	bank    Bank
	mu      sync.Mutex
	byOrder map[string]psu.Credentials // by EndToEndID
}

// order is a good order; at a bank that wants to know, it names its payer.
func (p *people) order(m psd2.Money) banks.Order {
	o := Order(m)
	if !p.bank.Named {
		return o
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if c, err := p.of(ctx, o); err == nil { // else the bank will miss the name
		o.PSU.ID, o.PSU.Account, o.Debtor = c.User, psd2.IBAN(c.Accounts[0].IBAN), psd2.IBAN(c.Accounts[0].IBAN)
	}
	return o
}

// of is who pays the order.
func (p *people) of(ctx context.Context, o banks.Order) (psu.Credentials, error) {
	p.mu.Lock()
	c, known := p.byOrder[o.EndToEndID]
	p.mu.Unlock()
	if known {
		return c, nil
	}
	c, err := p.bank.NewPayer(ctx)
	if err == nil && len(c.Accounts) == 0 {
		err = fmt.Errorf("trial: the new customer has no account")
	}
	if err == nil {
		p.mu.Lock()
		p.byOrder[o.EndToEndID] = c
		p.mu.Unlock()
	}
	return c, err
}

// acts is what he does at his bank.
func (p *people) acts(w psu.Wish) func(context.Context, bankstest.Act) (string, error) {
	return func(ctx context.Context, a bankstest.Act) (string, error) {
		c, err := p.of(ctx, a.Order)
		if err != nil {
			return "", err
		}
		w := w
		w.Cancel = a.Cancelling
		if a.Now.Prompt.Kind == psd2.PromptRedirect {
			return p.bank.Walk(ctx, c, a.Now, w)
		}
		browser, err := p.bank.browser()
		if err != nil {
			return "", err
		}
		phone := strings.TrimRight(p.bank.Operator.Origin, "/") + "/" + p.bank.ID + "/phone/" + url.PathEscape(c.User)
		return "", psu.Confirm(ctx, browser, phone, w)
	}
}

// answer is what he says when his bank asks him through somebody else.
func (p *people) answer(ctx context.Context, a bankstest.Act) (psd2.PromptAnswer, error) {
	c, err := p.of(ctx, a.Order)
	if err != nil {
		return psd2.PromptAnswer{}, err
	}
	var methods []string
	for _, m := range a.Now.Prompt.Methods {
		methods = append(methods, m.ID)
	}
	said, err := c.Say(string(a.Now.Prompt.Kind), methods, time.Now())
	return psd2.PromptAnswer{PSUID: said.User, Password: said.Password, MethodID: said.Method, Code: said.Code}, err
}

func (p *people) funds(ctx context.Context) (psd2.IBAN, psd2.Money, error) {
	c, err := p.bank.NewPayer(ctx)
	if err != nil {
		return "", psd2.Money{}, err
	}
	return psd2.IBAN(c.Accounts[0].IBAN), psd2.Euro(c.Accounts[0].BalanceMinor), nil
}
