// Package demo is a whole small world on loopback: the hub, the sandbox banks
// and a casino, each behind its own *.localhost name, because cookies ignore
// ports and one name for all would hide every cross-site fault.
package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/cmd/rialto/demo/casino"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/webhooks"
)

// PayeeIBAN is the casino's account, at the sandbox's first bank.
const PayeeIBAN psd2.IBAN = "DE14900100000000000777"

const payeeBank, payeeName = "sandbank", "Lucky Tide Ltd"

// Options say where the world lives.
type Options struct {
	Dir   string // data; kept between runs
	Log   *slog.Logger
	Ports [6]int // public, bank, casino, ops, admin, officers; 0: any free one
}

// World is the running demo.
type World struct {
	Hub         *run.Hub
	Bank        *sandbox.Sandbox
	Casino      *casino.Casino
	HubURL      string
	BankURL     string
	CasinoURL   string
	OpsURL      string
	AdminURL    string
	OfficersURL string

	Script *Script

	online  house // the casino on the internet
	lounge  house // and its tables
	log     *slog.Logger
	closers []func() error
}

// house is a merchant as the script plays at it.
type house struct {
	client    *apiclient.Client
	accountID string
}

// Ports of the demo when they are free.
var Ports = [6]int{8400, 8401, 8402, 8403, 8404, 8405}

// Start brings the world up.
func Start(ctx context.Context, o Options) (w *World, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w = &World{log: o.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
			w = nil
		}
	}()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return w, err
	}
	var l [6]net.Listener
	for i, port := range o.Ports {
		if l[i], err = listen(port); err != nil {
			return w, err
		}
	}
	at := func(host string, l net.Listener) string {
		return fmt.Sprintf("http://%s:%d", host, l.Addr().(*net.TCPAddr).Port)
	}
	w.HubURL, w.BankURL, w.CasinoURL = at("pay.localhost", l[0]), at("bank.localhost", l[1]), at("casino.localhost", l[2])
	w.OpsURL, w.AdminURL, w.OfficersURL = at("ops.localhost", l[3]), at("127.0.0.1", l[4]), at("officers.localhost", l[5])
	if err = w.startBank(ctx, o.Dir, l[1]); err != nil {
		return w, err
	}
	file, err := loadCasino(filepath.Join(o.Dir, "casino.json"))
	if err != nil {
		return w, err
	}
	if err = w.startHub(ctx, o.Dir, file, l[0], l[3], l[4], l[5]); err != nil {
		return w, err
	}
	return w, w.startCasino(ctx, o.Dir, file, l[2])
}

func listen(port int) (net.Listener, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil && port != 0 {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	return l, err
}

// Close stops everything, in reverse order.
func (w *World) Close() error {
	var errs []error
	for i := len(w.closers) - 1; i >= 0; i-- {
		errs = append(errs, w.closers[i]())
	}
	w.closers = nil
	return errors.Join(errs...)
}

func (w *World) serve(l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			w.log.Error("listener", "error", err.Error())
		}
	}()
	w.closers = append(w.closers, s.Close)
}

func (w *World) startBank(ctx context.Context, dir string, l net.Listener) error {
	var err error
	w.Bank, err = sandbox.Open(sandbox.Config{
		File: filepath.Join(dir, "bank.db"), URL: w.BankURL,
		Payees: []sandbox.Payee{{IBAN: PayeeIBAN, Name: payeeName}},
	}, sandbox.Options{Log: w.log})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.Bank.Close)
	w.serve(l, w.Bank.Handler())
	stop := run.Loop(ctx, w.log, "bank", w.Bank.Step, w.Bank.Wake())
	w.closers = append(w.closers, func() error { stop(); return nil })
	return nil
}

// BankEntries are the sandbox's banks as the hub's registry lists them.
// apiOrigin is where the hub reaches them, pageOrigin where payers do.
func BankEntries(apiOrigin, pageOrigin string, list []sandbox.Bank, more map[string]any) []banks.Entry {
	var out []banks.Entry
	for _, b := range list {
		profile := profileOf(apiOrigin, pageOrigin, b)
		for k, v := range more {
			profile[k] = v
		}
		out = append(out, banks.Entry{
			ID: b.ID, Name: b.Name, Aliases: []string{"Sandbox"}, BICs: []string{b.BIC}, BankCodes: []string{b.BankCode},
			Countries: []string{"DE"}, Adapter: "berlingroup", Profile: profile,
		})
	}
	return out
}

// ClientID is our name at the sandbox's authorisation servers, in the form of
// an eIDAS organisation identifier (ETSI TS 119 495).
const ClientID = "PSDDE-BAFIN-900001"

// profileOf is what an operator would write for a bank of the sandbox.
func profileOf(apiOrigin, pageOrigin string, b sandbox.Bank) map[string]any {
	p := map[string]any{
		"base_url": apiOrigin + "/" + b.ID, "redirect_origins": []string{pageOrigin},
		"redirect_life": "15m", "insecure_loopback": true, "debtor_account": "empty",
		"notifications": true, "funds_confirmation": true,
	}
	if b.DebtorRequired {
		p["debtor_account"] = "mandatory"
	}
	if b.Approach != "" && b.Approach != sandbox.Redirect {
		p["approaches"] = []string{string(b.Approach)}
	}
	if b.PSUIDRequired {
		p["psu_id"] = "mandatory"
	}
	if b.Explicit {
		p["explicit_authorisation"] = true
	}
	if b.XML {
		p["product"], p["initiating_party"] = "pain.001-instant-sepa-credit-transfers", "Rialto"
	}
	if b.OAuth != "" {
		issuer := pageOrigin + "/" + b.ID
		p["oauth"] = map[string]any{
			"before": b.OAuth == sandbox.OAuthPreStep, "issuer": issuer, "client_id": ClientID, "require_iss": true,
			"metadata_url": issuer + "/.well-known/oauth-authorization-server",
		}
	}
	return p
}

// casinoFile is what the casino keeps between runs.
type casinoFile struct {
	MerchantID string `json:"merchant_id"`
	AccountID  string `json:"account_id"`
	EndpointID string `json:"endpoint_id"`
	Lounge     struct {
		MerchantID string `json:"merchant_id"`
		AccountID  string `json:"account_id"`
		EndpointID string `json:"endpoint_id"`
	} `json:"lounge"`
}

func (w *World) startHub(ctx context.Context, dir string, file casinoFile, public, ops, admin, officers net.Listener) error {
	cfg, err := configs.Parse([]byte("sandbox: true\ndata_dir: " + filepath.Join(dir, "hub") + "\nhub: {public_url: '" + w.HubURL + "'}\n"))
	if err != nil {
		return err
	}
	cfg.Compliance.Desk.SampleEvery = 10 // few payments are made here, and one of these is to be seen
	cfg.Banks.KnownBanks = true
	cfg.Banks.Entries = BankEntries(w.BankURL, w.BankURL, sandbox.DefaultBanks(), nil)
	// Every payer of the demo comes from one address, and some of them are programs.
	cfg.Pages.PerIP, cfg.Limits.Address = -1, api.Rate{PerSecond: -1}
	channel, payees, err := w.openAccount(ctx, dir, file.AccountID)
	if err != nil {
		return err
	}
	cfg.Channels, cfg.PayeeVerification = []configs.Channel{channel}, payees
	w.Hub, err = run.Start(ctx, cfg, run.Options{Log: w.log, Public: public, Ops: ops, Admin: admin, Officers: officers})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.Hub.Close)
	return nil
}

func (w *World) startCasino(ctx context.Context, dir string, file casinoFile, l net.Listener) error {
	keys, err := jose.LoadOrCreateKeySet(filepath.Join(dir, "casino-key.json"), rand.Reader, time.Now(), jose.ES256)
	if err != nil {
		return err
	}
	key, err := keys.Signer(jose.ES256, time.Now())
	if err != nil {
		return err
	}
	jwks, err := keys.PublicJWKS(time.Now())
	if err != nil {
		return err
	}
	err = run.PutMerchant(ctx, w.Hub.Store, &psd2.Merchant{
		ID: file.MerchantID, Name: "Lucky Tide", LegalName: "Lucky Tide Ltd", Website: "casino.localhost", Keys: jwks,
		Accounts:   []psd2.PayeeAccount{{ID: file.AccountID, Name: payeeName, IBAN: PayeeIBAN, BIC: "SANDDEFFXXX"}},
		ReturnURIs: []string{w.CasinoURL + "/back"}, PayerPolicy: psd2.PayerRequired, Gambling: true,
		// Who has enrolled a passkey, a phone or codes confirms each of his deposits
		// here; who has not is asked by his bank alone.
		SCA:    psd2.SCAAlways,
		Scopes: []string{"payments:read", "payments:write", "refunds:write", "payouts:write", "webhooks:write", "reports:read"},
	})
	if err != nil {
		return err
	}
	endpoint, err := w.Hub.Webhooks.Put(ctx, webhooks.Endpoint{
		ID: file.EndpointID, MerchantID: file.MerchantID, URL: "http://" + l.Addr().String() + "/webhook",
	})
	if err != nil {
		return err
	}
	jwksOfHub, err := w.Hub.Keys.PublicJWKS(time.Now())
	if err != nil {
		return err
	}
	client, err := apiclient.New(apiclient.Config{
		BaseURL: w.HubURL, ClientID: file.MerchantID, Key: key, Random: rand.Reader,
		HTTP: &http.Client{Transport: &http.Transport{DialContext: payer.DialLoopback}, Timeout: 30 * time.Second},
	})
	if err != nil {
		return err
	}
	w.online = house{client, file.AccountID}
	tables, err := w.openLounge(ctx, file, key, jwks, "http://"+l.Addr().String()+"/webhook")
	if err != nil {
		return err
	}
	w.Script = &Script{world: w, seed: func() uint64 { return uint64(time.Now().UnixMicro()) }}
	c := casino.Config{URL: w.CasinoURL, AccountID: file.AccountID, Client: client, JWKS: jwksOfHub, Now: time.Now, Script: w.Script,
		BankURL: w.BankURL, DocsURL: w.HubURL + "/docs"}
	for _, k := range slices.Concat(endpoint.Keys, tables.Keys) {
		if public := k.Public(); public != "" {
			c.PublicKeys = append(c.PublicKeys, public)
		} else {
			c.Secrets = append(c.Secrets, k.Value)
		}
	}
	if w.Casino, err = casino.New(c); err != nil {
		return err
	}
	w.serve(l, w.Casino)
	w.closers = append(w.closers, w.Script.Close)
	return nil
}

// openLounge makes the merchant behind the casino's tables: no game on the
// internet, so no monthly limit. It signs with the casino's key and is told at
// the casino's address, by an endpoint with keys of its own.
func (w *World) openLounge(ctx context.Context, file casinoFile, key *jose.Key, jwks []byte, address string) (*webhooks.Endpoint, error) {
	l := file.Lounge
	err := run.PutMerchant(ctx, w.Hub.Store, &psd2.Merchant{
		ID: l.MerchantID, Name: "Lucky Tide Lounge", LegalName: "Lucky Tide Lounge Ltd", Website: "casino.localhost", Keys: jwks,
		Accounts:   []psd2.PayeeAccount{{ID: l.AccountID, Name: payeeName, IBAN: PayeeIBAN, BIC: "SANDDEFFXXX"}},
		ReturnURIs: []string{w.CasinoURL + "/back"}, PayerPolicy: psd2.PayerRequired,
	})
	if err != nil {
		return nil, err
	}
	endpoint, err := w.Hub.Webhooks.Put(ctx, webhooks.Endpoint{ID: l.EndpointID, MerchantID: l.MerchantID, URL: address})
	if err != nil {
		return nil, err
	}
	client, err := apiclient.New(apiclient.Config{
		BaseURL: w.HubURL, ClientID: l.MerchantID, Key: key, Random: rand.Reader,
		HTTP: &http.Client{Transport: &http.Transport{DialContext: payer.DialLoopback}, Timeout: 30 * time.Second},
	})
	w.lounge = house{client, l.AccountID}
	return endpoint, err
}

func loadCasino(path string) (f casinoFile, err error) {
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	id := func(prefix string) string { return psd2.NewID(prefix, time.Now(), rand.Reader) }
	if f.MerchantID == "" {
		f.MerchantID, f.AccountID, f.EndpointID = id(psd2.PrefixMerchant), id(psd2.PrefixAccount), id(psd2.PrefixEndpoint)
	}
	if f.Lounge.MerchantID == "" {
		f.Lounge.MerchantID, f.Lounge.AccountID, f.Lounge.EndpointID = id(psd2.PrefixMerchant), id(psd2.PrefixAccount), id(psd2.PrefixEndpoint)
	}
	again, err := json.Marshal(f)
	if err != nil || bytes.Equal(again, data) {
		return f, err
	}
	return f, os.WriteFile(path, again, 0o600)
}
