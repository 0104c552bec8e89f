package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/sctinst"
	"github.com/rialto-hub/rialto/banks/vop"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/configs"
)

// renewBefore is how long before its end a certificate for a bank is warned
// about: a qualified one takes weeks to get, and the bank has to be told of it.
const renewBefore = 30 * 24 * time.Hour

// checkBankCertificates looks at every certificate of ours that a configured
// counterpart gets to see. That it lets us initiate payments (PSP_PI) is a
// condition of the adapter itself, so that checkBanks reports it.
func checkBankCertificates(cfg configs.Config, now time.Time) (string, error) {
	var soon []string
	var wrong []error
	n := 0
	for _, h := range certified(cfg) {
		for _, c := range h.holder.Certificates() {
			n++
			name := fmt.Sprintf("%s: the %s %s", h.id, c.Use, c.Serial)
			switch left := c.NotAfter.Sub(now); {
			case left <= 0:
				wrong = append(wrong, fmt.Errorf("%s ended on %s", name, c.NotAfter.Format(time.DateOnly)))
			case left < renewBefore:
				soon = append(soon, fmt.Sprintf("%s ends on %s", name, c.NotAfter.Format(time.DateOnly)))
			}
		}
	}
	switch {
	case wrong != nil:
		return "", errors.Join(wrong...)
	case soon != nil:
		return "", warning(strings.Join(soon, "; "))
	case n == 0:
		return "none are used", nil
	}
	return fmt.Sprintf("%d, good for %d days and more", n, renewBefore/(24*time.Hour)), nil
}

type holder struct {
	id     string
	holder run.Certified
}

// certified builds what the configuration reaches with certificates. What
// cannot be built is other checks' to report.
func certified(cfg configs.Config) []holder {
	deps := banks.Deps{Now: time.Now}
	var list []holder
	add := func(id string, built any) {
		if c, ok := built.(run.Certified); ok {
			list = append(list, holder{id, c})
		}
	}
	if entries, err := cfg.Banks.Load(); err == nil {
		built, _ := banks.Build(entries, run.Adapters, deps) // holds those without a fault
		for _, e := range entries {
			add(e.ID, built[e.ID])
		}
	}
	for _, c := range cfg.Channels {
		if channel, err := sctinst.New(c.AccountID, c.Config, deps); err == nil {
			add(c.AccountID, channel)
		}
	}
	if c := cfg.PayeeVerification; c != nil {
		if client, err := vop.New(*c, deps); err == nil {
			add(run.PayeeVerification, client)
		}
	}
	return list
}

// checkChannels says whether merchants' own accounts and the verification of
// payees are described well enough to be reached.
func checkChannels(cfg configs.Config) (string, error) {
	deps := banks.Deps{Now: time.Now}
	var wrong []error
	for _, c := range cfg.Channels {
		_, err := sctinst.New(c.AccountID, c.Config, deps)
		wrong = append(wrong, err)
	}
	verified := "payees are not verified"
	if c := cfg.PayeeVerification; c != nil {
		_, err := vop.New(*c, deps)
		wrong, verified = append(wrong, err), "payees are verified"
	}
	return fmt.Sprintf("%d; %s", len(cfg.Channels), verified), errors.Join(wrong...)
}
