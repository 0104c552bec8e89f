package fleet

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/devtls"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit/loopback"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// BankID is the one bank of the fleet.
const BankID = "fleetbank"

// payeeIBAN is the merchant's account, at the fleet's bank.
const payeeIBAN = "DE14900100000000000777"

// Options say what a fleet is made of.
type Options struct {
	Dir         string
	Program     string   // the rialto binary
	Env         []string // for children
	DatabaseURL string   // "": SQLite in Dir
	KeyFile     string   // with PostgreSQL
	Bank        sandbox.Bank
	HubLog      io.Writer
	Gambling    bool // what the merchant offers
	// Hub is merged into the hub's configuration, e.g. {"hub": {"patience": "1s"}}.
	Hub map[string]any
}

// Fleet is the three parties.
type Fleet struct {
	Sink     *Sink
	Merchant *apiclient.Client
	Operator psu.Operator // of the bank
	HubURL   string
	BankURL  string
	AdminURL string
	HTTP     *http.Transport // of merchant and payers

	opt       Options
	env       []string
	hub, bank *process
}

// Start brings bank, sink and hub up.
func Start(ctx context.Context, o Options) (f *Fleet, err error) {
	f = &Fleet{opt: o}
	defer func() {
		if err != nil {
			f.Close()
			f = nil
		}
	}()
	if err := devtls.Write(o.Dir, time.Now()); err != nil {
		return f, err
	}
	ca, err := os.ReadFile(filepath.Join(o.Dir, "dev-ca.pem"))
	if err != nil {
		return f, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	f.HTTP = &http.Transport{
		DialContext: payer.DialLoopback, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
		MaxIdleConns: 1024, MaxIdleConnsPerHost: 512, IdleConnTimeout: time.Minute,
	}
	f.env = append(o.Env, "SSL_CERT_FILE="+filepath.Join(o.Dir, "dev-ca.pem"), "SSL_CERT_DIR="+o.Dir)
	if err = f.startBank(ctx); err != nil {
		return f, err
	}
	if f.Sink, err = newSink(o.Dir); err != nil {
		return f, err
	}
	if err = f.configure(); err != nil {
		return f, err
	}
	return f, f.StartHub(ctx)
}

// Close stops everything.
func (f *Fleet) Close() {
	if f.hub != nil {
		_ = f.hub.stop() // its log says more than its exit code
	}
	if f.bank != nil {
		_ = f.bank.stop()
	}
	if f.Sink != nil {
		f.Sink.close()
	}
	if f.HTTP != nil {
		f.HTTP.CloseIdleConnections()
	}
}

func (f *Fleet) startBank(ctx context.Context) error {
	b := f.opt.Bank
	b.ID, b.Name, b.BIC, b.BankCode = BankID, "Fleetbank", "FLEEDEFFXXX", "90010000"
	text, err := yaml.Marshal(map[string]any{
		"banks":  []sandbox.Bank{b},
		"payees": []map[string]string{{"iban": payeeIBAN, "name": "Fleet Casino"}},
	})
	if err != nil {
		return err
	}
	path := filepath.Join(f.opt.Dir, "bank.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	var said map[string]string
	f.bank, said, err = start(ctx, f.opt.Program, f.env, []string{
		"bank", "--config", path, "--listen", "127.0.0.1:0", "--file", filepath.Join(f.opt.Dir, "bank.db"),
		"--cert", filepath.Join(f.opt.Dir, "dev-cert.pem"), "--key", filepath.Join(f.opt.Dir, "dev-key.pem"),
	}, nil, "banks")
	if err != nil {
		return err
	}
	f.BankURL = said["banks"]
	f.Operator = psu.Operator{Client: &http.Client{Transport: f.HTTP, Timeout: time.Minute}, Origin: f.BankURL}
	return nil
}

// configure writes the hub's configuration and the merchant's keys.
func (f *Fleet) configure() error {
	keys, err := jose.NewKeySet(rand.Reader, time.Now(), jose.ES256)
	if err != nil {
		return err
	}
	jwks, err := keys.PublicJWKS(time.Now())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(f.opt.Dir, "merchant-jwks.json"), jwks, 0o600); err != nil {
		return err
	}
	address, err1 := loopback.FreeAddress()
	admin, err2 := loopback.FreeAddress()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	f.HubURL = "https://" + address
	merchant := psd2.NewID(psd2.PrefixMerchant, time.Now(), rand.Reader)
	f.Sink.AccountID = psd2.NewID(psd2.PrefixAccount, time.Now(), rand.Reader)
	in := func(name string) string { return filepath.Join(f.opt.Dir, name) }
	life := f.opt.Bank.RedirectLife
	if life == 0 {
		life = 15 * time.Minute
	}
	unlimited := map[string]any{"per_second": -1}
	cfg := map[string]any{
		"sandbox": true, "data_dir": in("hub"),
		"http":   map[string]any{"listen": address, "ops": "127.0.0.1:0", "admin": admin, "officers": "127.0.0.1:0", "cert_file": in("dev-cert.pem"), "key_file": in("dev-key.pem")},
		"hub":    map[string]any{"public_url": f.HubURL},
		"limits": map[string]any{"token": unlimited, "address": unlimited, "merchant": unlimited},
		"pages":  map[string]any{"per_ip": -1},
		"banks": map[string]any{"entries": []map[string]any{{
			"id": BankID, "name": "Fleetbank", "adapter": "berlingroup", "countries": []string{"DE"},
			"profile": map[string]any{"base_url": f.BankURL + "/" + BankID, "redirect_origins": []string{f.BankURL}, "redirect_life": life.String(), "debtor_account": "empty", "idle_connections": 256},
		}}},
		"merchants": []map[string]any{{
			"id": merchant, "name": "Fleet Casino", "gambling": f.opt.Gambling, "keys_file": in("merchant-jwks.json"), "payer_policy": "required",
			"accounts":    []map[string]any{{"id": f.Sink.AccountID, "name": "Fleet Casino", "iban": payeeIBAN}},
			"return_uris": []string{"https://casino.localhost/back"},
			"webhooks": []map[string]any{{"id": psd2.NewID(psd2.PrefixEndpoint, time.Now(), rand.Reader), "url": f.Sink.URL,
				"keys": []map[string]any{{"value": f.Sink.secret}, {"value": f.Sink.private}}}},
		}},
	}
	if f.opt.DatabaseURL != "" {
		cfg["database"] = map[string]any{"url": f.opt.DatabaseURL, "key_file": f.opt.KeyFile}
	}
	merge(cfg, f.opt.Hub)
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	if err := os.WriteFile(in("hub.yaml"), text, 0o600); err != nil {
		return err
	}
	key, err := keys.Signer(jose.ES256, time.Now())
	if err != nil {
		return err
	}
	f.Merchant, err = apiclient.New(apiclient.Config{
		BaseURL: f.HubURL, ClientID: merchant, Key: key, Random: rand.Reader,
		HTTP: &http.Client{Transport: f.HTTP, Timeout: 30 * time.Second},
	})
	return err
}

func merge(into, more map[string]any) {
	for k, v := range more {
		a, aok := into[k].(map[string]any)
		b, bok := v.(map[string]any)
		if aok && bok {
			merge(a, b)
		} else {
			into[k] = v
		}
	}
}

// StartHub starts the hub, again or for the first time.
func (f *Fleet) StartHub(ctx context.Context) error {
	p, said, err := start(ctx, f.opt.Program, f.env, []string{"serve", "--config", filepath.Join(f.opt.Dir, "hub.yaml")}, f.opt.HubLog, "public", "admin")
	if err != nil {
		return err
	}
	f.hub, f.AdminURL = p, said["admin"]
	return nil
}

// KillHub is kill -9 of the hub.
func (f *Fleet) KillHub() { f.hub.kill() }

// KillStartingHub starts the hub and kills it so long after, unless it is up
// before.
func (f *Fleet) KillStartingHub(ctx context.Context, after time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, after)
	defer cancel()
	if f.StartHub(ctx) == nil { // else it was killed for being late
		f.KillHub()
	}
}

// HubLog is the end of what the hub logged.
func (f *Fleet) HubLog() string { return f.hub.log.String() }

// HubPID is the hub's process id, for measuring it.
func (f *Fleet) HubPID() int { return f.hub.cmd.Process.Pid }

// BankPID is the bank's process id.
func (f *Fleet) BankPID() int { return f.bank.cmd.Process.Pid }

// NewPayer is somebody new at the bank's page, with his own cookies.
func (f *Fleet) NewPayer(c psu.Credentials) *payer.Payer {
	return &payer.Payer{Client: payer.NewClient(f.HTTP), Bank: BankID, Credentials: c, Now: time.Now}
}

// Customers opens accounts at the bank, one for each of so many people.
func (f *Fleet) Customers(ctx context.Context, n int) ([]psu.Credentials, error) {
	var out []psu.Credentials
	for len(out) < n { // the bank takes so many at once
		more, err := f.Operator.Create(ctx, BankID, psu.NewCustomers{
			Count: min(n-len(out), 5000), User: fmt.Sprintf("c%d-", len(out)), Holder: Holder, BalanceMinor: 1_000_000,
		})
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// Deposit asks the hub for a deposit of 25.00 € for one player.
func (f *Fleet) Deposit(ctx context.Context, player, key string) (*apiclient.Payment, error) {
	return f.Merchant.Create(ctx, apiclient.Deposit{
		Amount: psd2.Euro(2500), PayeeAccountID: f.Sink.AccountID, Reference: "Deposit",
		Player: psd2.Player{Reference: player, Name: Holder}, ReturnURI: "https://casino.localhost/back",
	}, key)
}

// View reads a payment whole, as the API shows it.
func (f *Fleet) View(ctx context.Context, paymentID string) (v psd2.PaymentView, err error) {
	return apiclient.Read[psd2.PaymentView](ctx, f.Merchant, "/v1/payments/"+paymentID)
}

// Holder owns every account of the fleet's payers.
const Holder = "Erika Mustermann"

// Metrics reads the hub's own counters.
func (f *Fleet) Metrics(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.AdminURL+"/metrics", nil)
	if err != nil {
		return "", err
	}
	res, err := (&http.Client{Transport: f.HTTP, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("metrics: status %d", res.StatusCode)
	}
	return string(body), err
}

// newKeys makes the sink's webhook keys: a shared secret and the hub's ed25519
// key for it.
func newKeys() (secret, private string, err error) {
	s, e1 := verify.GenerateSecret(rand.Reader)
	k, e2 := verify.GenerateSigningKey(rand.Reader)
	if err := errors.Join(e1, e2); err != nil {
		return "", "", err
	}
	return s.Reveal(), k.Reveal(), nil
}
