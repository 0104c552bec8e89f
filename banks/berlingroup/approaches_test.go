package berlingroup

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// trialBank is a sandbox bank with the profile an operator would write for it.
type trialBank struct {
	change func(c *Config, origin string)
	named  bool // orders name their payer
	signed sandbox.Signing
}

// trialBanks has one for each way of authenticating the payer and of sealing a
// request.
var trialBanks = map[string]trialBank{
	"sandbank":    {},
	"kranichbank": {change: func(c *Config, _ string) { c.ExplicitAuthorisation = true }},
	"muehlenbank": {},
	"hafenbank": {change: func(c *Config, origin string) {
		c.OAuth = OAuth{Before: true, Issuer: origin + "/hafenbank", MetadataURL: origin + "/hafenbank/.well-known/oauth-authorization-server", ClientID: "PSDXX-TEST-1"}
	}},
	"lindenbank": {change: func(c *Config, origin string) {
		c.OAuth = OAuth{Issuer: origin + "/lindenbank", ClientID: "PSDXX-TEST-1"}
	}},
	"moorbank": {named: true, change: func(c *Config, _ string) {
		c.Approaches, c.PSUID = []banks.Approach{banks.Decoupled}, PSUIDMandatory
	}},
	"inselbank":  {change: func(c *Config, _ string) { c.Approaches = []banks.Approach{banks.Embedded} }},
	"foerdebank": {named: true, change: func(c *Config, _ string) { c.Product, c.InitiatingParty = painProduct, "Rialto Pay" }},
	"cavagebank": {signed: sandbox.SigningCavage, change: func(c *Config, _ string) { c.Signing.Mode = SigningCavage }},
	"jadesbank": {signed: sandbox.SigningJAdES, change: func(c *Config, _ string) {
		c.Signing.Mode, c.Signing.SendCertificate = SigningJAdES, true
	}},
}

// target is the bank for the suite; j judges the traffic.
func (k trialBank) target(t *testing.T, name string, j func() *judge) bankstest.Target {
	t.Helper()
	list := sandbox.DefaultBanks()
	if k.signed != "" {
		list = []sandbox.Bank{{ID: name, Name: "Sealed", BankCode: "90060000", Signing: k.signed, SigningRoots: testkit.Standard(t, "certs", "test-ca.pem")}}
	}
	s := drivenSandbox(t, list)
	b := s.trial(name)
	b.Named, b.Notifies = k.named, true
	return b.Target(func(base string, log *slog.Logger) (banks.Bank, error) {
		p := s.profile()
		p.BaseURL, p.Notifications, p.FundsConfirmation = base, true, true
		if k.change != nil {
			k.change(&p, s.server.URL)
		}
		if k.signed != "" {
			p.Signing.CertFile, p.Signing.KeyFile = ownCert(t, "qseal-pisp")
		}
		return New(name, p, banks.Deps{Log: log, Wrap: j().wrap})
	})
}

// TestEveryApproachConforms runs the suite of all adapters against each bank.
func TestEveryApproachConforms(t *testing.T) {
	for name, k := range trialBanks {
		t.Run(name, func(t *testing.T) {
			bankstest.Run(t, k.target(t, name, func() *judge { return newJudge(t, false) }))
		})
	}
}

// TestTrafficOfEveryApproachFollowsTheStandard: an order authorised, one
// cancelled and a question about funds at each bank, every message held against
// the official OpenAPI, in both directions.
func TestTrafficOfEveryApproachFollowsTheStandard(t *testing.T) {
	testkit.Standard(t, oracle)
	for name, k := range trialBanks {
		t.Run(name, func(t *testing.T) {
			j := newJudge(t, true)
			target := k.target(t, name, func() *judge { return j })
			adapter, err := target.New(target.BankURL, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer j.next.(*http.Transport).CloseIdleConnections()
			p := &player{t: t, bank: adapter.(*Bank), target: target}
			a := p.initiated()
			p.authorised(&a)
			st, err := p.bank.Status(t.Context(), refOf(a.Order, a.Now))
			if err != nil || psd2.StandingOf(st.Transaction) != psd2.StandingSettled || st.Payer.IBAN == "" {
				t.Errorf("%+v %v", st, err)
			}
			a = p.initiated()
			c, err := p.bank.Cancel(t.Context(), refOf(a.Order, a.Now))
			if err != nil || c.Done == (c.Prompt.Kind != psd2.PromptNone) {
				t.Errorf("%+v %v", c, err)
			}
			account, there, err := target.Funds(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := p.bank.FundsAvailable(t.Context(), refOf(a.Order, a.Now), account, there); err != nil || !ok {
				t.Errorf("funds: %v %v", ok, err)
			}
			if j.judged.Load() < 6 {
				t.Errorf("only %d messages were judged", j.judged.Load())
			}
		})
	}
}

// player takes payers through whatever a bank wants of them.
type player struct {
	t      *testing.T
	bank   *Bank
	target bankstest.Target
}

func (p *player) initiated() bankstest.Act {
	p.t.Helper()
	a := bankstest.Act{Order: p.target.Order(psd2.Euro(2500))}
	var err error
	if p.bank.Info().First == psd2.PromptRedirect {
		if a.Now, err = p.bank.Prepare(p.t.Context(), a.Order); err != nil {
			p.t.Fatal(err)
		}
		p.authorised(&a)
		a.Order.State = a.Now.State
	}
	if a.Now, err = p.bank.Initiate(p.t.Context(), a.Order); err != nil {
		p.t.Fatal(err)
	}
	return a
}

func (p *player) authorised(a *bankstest.Act) {
	p.t.Helper()
	for range 8 {
		var next banks.Initiation
		switch kind := a.Now.Prompt.Kind; {
		case kind == psd2.PromptNone:
			return
		case kind.Relayed():
			said, err := p.target.Answer(p.t.Context(), *a)
			if err != nil {
				p.t.Fatal(err)
			}
			if next, err = p.bank.Answer(p.t.Context(), refOf(a.Order, a.Now), said); err != nil {
				p.t.Fatal(err)
			}
		default:
			landing, err := p.target.Approve(p.t.Context(), *a)
			if err != nil {
				p.t.Fatal(err)
			}
			u, err := url.Parse(landing)
			if err != nil {
				p.t.Fatal(err)
			}
			if next, err = p.bank.Return(p.t.Context(), refOf(a.Order, a.Now), u.Query()); err != nil {
				p.t.Fatal(err)
			}
		}
		if next.State == nil {
			next.State = a.Now.State
		}
		a.Now = next
	}
	p.t.Fatal("the bank never stops asking")
}

// drivenSandbox is a sandbox whose background work is done, so that it tells
// news.
func drivenSandbox(t *testing.T, list []sandbox.Bank) *pretend {
	t.Helper()
	s, err := sandbox.Open(sandbox.Config{Banks: list}, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			wait := time.Hour
			if next, err := s.Step(ctx, time.Now()); err == nil && !next.IsZero() {
				wait = time.Until(next)
			}
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-s.Wake():
			case <-timer.C:
			}
			timer.Stop()
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
		server.Close()
		s.Close()
	})
	return &pretend{server}
}
