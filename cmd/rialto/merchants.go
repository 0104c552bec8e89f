package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

func storeOptions(cfg configs.Config) store.Options {
	return store.Options{Now: time.Now, Random: rand.Reader, SubmitTimeout: cfg.Hub.SubmitTimeout()}
}

// list collects a flag given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func merchantsCommand(e env, args []string) error {
	if len(args) == 0 {
		return usagef("add or list")
	}
	switch args[0] {
	case "add":
		return merchantsAdd(e, args[1:])
	case "list":
		return merchantsList(e, args[1:])
	}
	return usagef("there is no %q", args[0])
}

func merchantsAdd(e env, args []string) error {
	f := flags(e, "merchants add")
	path := f.String("config", "", "YAML file of the hub")
	m := psd2.Merchant{}
	f.StringVar(&m.ID, "id", "", "mer_… (default: a new one); an existing id is replaced")
	f.StringVar(&m.Name, "name", "", "name as payers know it")
	f.StringVar(&m.LegalName, "legal-name", "", "registered name")
	f.StringVar(&m.Website, "website", "", "host name shown to payers")
	keys := f.String("keys", "", "file with the JWKS of his public keys")
	iban := f.String("iban", "", "payee account")
	holder := f.String("account-name", "", "holder of the payee account (default: the name)")
	policy := f.String("payer", "required", "own-account check: required, optional or off")
	confirm := f.String("sca", "by_policy", "confirmation here beside the bank's: by_policy, always or strong (passkey or push)")
	f.Int64Var(&m.MaxMinor, "max", 0, "largest payment in cents (0: the scheme's)")
	f.BoolVar(&m.Gambling, "gambling", false, "a gambling operator: the page shows the spending line")
	f.BoolVar(&m.LowerToLimit, "lower-to-limit", false, "a player whose monthly limit leaves less than was asked may pay what is left")
	f.Var((*list)(&m.ReturnURIs), "return-uri", "where payers go back to (repeatable; compared byte by byte)")
	f.Var((*list)(&m.Scopes), "scope", "what his tokens may do (repeatable; default payments:read, payments:write)")
	hook := f.String("webhook", "", "where he is told what happens; prints the keys to verify it with")
	asJSON := f.Bool("json", false, "print the merchant as JSON")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *keys == "" || *iban == "" || m.Name == "" {
		return usagef("--name, --keys and --iban are needed")
	}
	var err error
	if m.Keys, err = os.ReadFile(*keys); err != nil {
		return err
	}
	if m.ID == "" {
		m.ID = psd2.NewID(psd2.PrefixMerchant, time.Now(), rand.Reader)
	}
	if *holder == "" {
		*holder = m.Name
	}
	m.PayerPolicy, m.SCA = psd2.Policy(*policy), psd2.MerchantSCA(*confirm)
	m.Accounts = []psd2.PayeeAccount{{ID: psd2.NewID(psd2.PrefixAccount, time.Now(), rand.Reader), Name: *holder, IBAN: psd2.IBAN(*iban)}}
	cfg, err := configs.Load(*path)
	if err != nil {
		return err
	}
	db, err := openStore(e, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := run.PutMerchant(e.ctx, db, &m); err != nil {
		return err
	}
	added := addedMerchant{Merchant: m}
	var hookErr error
	if *hook != "" {
		if added.Webhook, hookErr = run.PutWebhook(e.ctx, cfg, db, m.ID, *hook); hookErr != nil {
			hookErr = fmt.Errorf("the merchant is stored, his webhook is not: %w", hookErr)
		}
	}
	if *asJSON {
		return errors.Join(hookErr, json.NewEncoder(e.stdout).Encode(added))
	}
	fmt.Fprintf(e.stdout, "merchant %s\naccount  %s\n", m.ID, m.Accounts[0].ID)
	if w := added.Webhook; w != nil {
		fmt.Fprintf(e.stdout, "webhook  %s\nsecret   %s\npublic   %s\n", w.ID, w.Secret, w.PublicKey)
	}
	return hookErr
}

// addedMerchant is what merchants add --json prints.
type addedMerchant struct {
	psd2.Merchant
	Webhook *run.Webhook `json:"webhook,omitempty"`
}

func merchantsList(e env, args []string) error {
	f := flags(e, "merchants list")
	path := f.String("config", "", "YAML file of the hub")
	asJSON := f.Bool("json", false, "print JSON")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	cfg, err := configs.Load(*path)
	if err != nil {
		return err
	}
	db, err := openStore(e, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	all, err := db.Merchants(e.ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(e.stdout).Encode(all)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 4, 2, ' ', 0)
	for _, m := range all {
		for _, a := range m.Accounts {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.ID, m.Name, a.ID, a.IBAN.Masked())
		}
	}
	return w.Flush()
}
