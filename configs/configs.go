// Package configs is the hub's configuration: one Config composed of the
// packages' own Config types, read strictly from one YAML file. Every field
// has a usable zero value; an unknown or repeated key is an error that names
// its line. Nothing but cmd imports it.
//
// A secret does not stand in the file: where a value may hold one, write
// "file:PATH" or "env:NAME" and it is read from there.
package configs

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/sctinst"
	"github.com/rialto-hub/rialto/banks/vop"
	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/console"
	"github.com/rialto-hub/rialto/compliance/limits"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/screening"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/consent"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/ops"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
	"github.com/rialto-hub/rialto/webhooks"
)

// Config is all of it.
type Config struct {
	// DataDir holds what the hub keeps itself: the SQLite file, JetStream's
	// files, keys. Default "data".
	DataDir string `yaml:"data_dir"`
	// Sandbox allows what only a test environment may: http on loopback for
	// webhooks and banks. Default false.
	Sandbox bool `yaml:"sandbox"`
	// Roles this process runs; none means all: api, pages, ops, sequencer,
	// relay, follow, webhooks.
	Roles []string `yaml:"roles"`

	HTTP     HTTP            `yaml:"http"`
	Database store.Config    `yaml:"database"`
	NATS     bus.Config      `yaml:"nats"`
	Hub      hub.Config      `yaml:"hub"`
	Limits   api.Limits      `yaml:"limits"`
	Pages    consent.Config  `yaml:"pages"`
	Webhooks webhooks.Config `yaml:"webhooks"`
	Banks    Banks           `yaml:"banks"`
	Ops      Ops             `yaml:"ops"`
	Officers Officers        `yaml:"officers"`
	Staff    Staff           `yaml:"staff"`
	// SCA is the hub's own authentication of payers; its origin is the public one.
	SCA        sca.Config `yaml:"sca"`
	WebPush    WebPush    `yaml:"web_push"`
	Compliance Compliance `yaml:"compliance"`
	// Channels reach merchants' own accounts at their banks: refunds and payouts
	// go out through them, and deposits are reconciled against them.
	Channels []Channel `yaml:"channels"`
	// PayeeVerification asks payees' banks whether name and IBAN belong together;
	// without it payouts stay in the closed loop.
	PayeeVerification *vop.Config `yaml:"payee_verification"`
	Log               Log         `yaml:"log"`

	// SigningKeysFile holds the hub's own signing keys (default
	// signing-keys.json in DataDir; made when missing).
	SigningKeysFile string     `yaml:"signing_keys_file"`
	Merchants       []Merchant `yaml:"merchants"`
}

// HTTP says where the hub listens.
type HTTP struct {
	// Listen is the public listener: API and hosted pages. Default
	// "127.0.0.1:8400".
	Listen string `yaml:"listen"`
	// Ops is the operators' listener (default "127.0.0.1:8403"), Admin the one
	// for health and metrics (default "127.0.0.1:8404").
	Ops   string `yaml:"ops"`
	Admin string `yaml:"admin"`
	// Officers is the compliance console's listener (default "127.0.0.1:8405").
	Officers string `yaml:"officers"`
	// CertFile and KeyFile turn TLS 1.3 on for the public and the operators'
	// listener. Without them the hub speaks plain HTTP, for loopback or behind
	// a proxy.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies Networks `yaml:"trusted_proxies"`
}

// WebPush wakes payers' phones whose push app is closed, through the push
// services of their browsers (RFC 8030, 8292). Without it the app is reached
// while it is open.
type WebPush struct {
	// Subject is how a push service's operator reaches whoever runs the hub,
	// mailto: or https:. Empty: there is no web push.
	Subject string `yaml:"subject"`
	// KeyFile holds the key pair that the phones know us by, the same in all
	// processes (default web-push-key.json in DataDir; made when missing). With
	// another one every phone has to subscribe anew.
	KeyFile string `yaml:"key_file"`
}

// Networks is a list of networks, e.g. 10.0.0.0/8; a single address is a
// network of its own.
type Networks []netip.Prefix

// UnmarshalYAML implements yaml.Unmarshaler; its errors name the line.
func (n *Networks) UnmarshalYAML(node *yaml.Node) error {
	var list []string
	if err := node.Decode(&list); err != nil {
		return err
	}
	for _, s := range list {
		prefix, err := netip.ParsePrefix(s)
		if addr, single := netip.ParseAddr(s); single == nil {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return fmt.Errorf("line %d: %q is no network such as 10.0.0.0/8", node.Line, s)
		}
		*n = append(*n, prefix.Masked())
	}
	return nil
}

// Banks is the registry: a file in the form of banks.yaml, entries given here,
// and whether the built-in list of known banks is shown.
type Banks struct {
	File    string        `yaml:"file"`
	Entries []banks.Entry `yaml:"entries"`
	// KnownBanks lists the built-in profiles too. They are disabled until
	// somebody enters credentials, so payers see them greyed.
	KnownBanks bool `yaml:"known_banks"`
}

// Compliance is monitoring and the officers' desk.
type Compliance struct {
	// Disabled monitors nothing and lets everything through. For load tests and for
	// deployments whose merchants are monitored elsewhere.
	Disabled  bool              `yaml:"disabled"`
	Desk      compliance.Config `yaml:"desk"`
	Monitor   monitor.Config    `yaml:"monitor"`
	Rulebook  rulebook.Config   `yaml:"rulebook"`
	Screening screening.Config  `yaml:"screening"`
	// LimitService is the central file of monthly limits (GlüStV §6c); without it
	// the hub's own count is all there is.
	LimitService *limits.Config `yaml:"limit_service"`
}

// Channel is the channel of one payee account.
type Channel struct {
	AccountID      string `yaml:"account_id"` // acc_…, of a merchant
	sctinst.Config `yaml:",inline"`
}

// Officers is the compliance console.
type Officers struct {
	// URL is where officers reach it, as in Ops (default
	// http://officers.localhost and the port of http.officers).
	URL string `yaml:"url"`
}

// Ops is the operators' room.
type Ops struct {
	// URL is where people reach the consoles, without a slash at the end
	// (default http://ops.localhost and the port of http.ops). Passkeys belong to
	// its name: after a change everybody enrols anew.
	URL string `yaml:"url"`
}

// Staff is the people who work here.
type Staff struct {
	// Roles are what each role may do: its name and a list of rights. Left out,
	// they are those of configs/staff.yaml, which says which rights there are. A
	// change counts from the next start on, for everybody who has the role.
	Roles sca.Roles `yaml:"roles"`
}

//go:embed staff.yaml
var staffRoles []byte

// rights are all that the consoles know.
func rights() []string {
	return slices.Concat(ops.Rights, slices.Sorted(maps.Keys(console.Rights)))
}

// Log says what is logged.
type Log struct {
	Level slog.Level `yaml:"level"` // default INFO
}

// Merchant is a merchant given by configuration.
type Merchant struct {
	psd2.Merchant `yaml:",inline"`
	// KeysFile is his JWKS of public keys. Where they are those of the last start, what
	// he has replaced since stays replaced; others take the place of all he has.
	KeysFile string `yaml:"keys_file"`
	// Webhooks are his endpoints.
	Webhooks []webhooks.Endpoint `yaml:"webhooks"`
}

//go:embed banks.yaml
var knownBanks []byte

// KnownBanks are the built-in bank profiles.
func KnownBanks() ([]banks.Entry, error) { return banks.ParseEntries(knownBanks) }

// Load reads a file; "" gives the defaults. Relative paths in it are relative
// to the working directory.
func Load(path string) (Config, error) {
	if path == "" {
		return Parse(nil)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	c, err := Parse(data)
	if err != nil {
		return c, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return c, nil
}

// Parse reads a configuration strictly and fills in the defaults.
func Parse(data []byte) (Config, error) {
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("config: %w", err)
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return c, errors.New("config: more than one YAML document")
	}
	return c, c.fill()
}

// Roles that exist.
var roles = []string{"api", "pages", "ops", "sequencer", "relay", "follow", "webhooks"}

// Runs reports whether this process has a role.
func (c *Config) Runs(role string) bool {
	return len(c.Roles) == 0 || slices.Contains(c.Roles, role)
}

// SetRoles replaces the roles by a comma-separated list.
func (c *Config) SetRoles(list string) error {
	c.Roles = strings.Split(list, ",")
	for i, r := range c.Roles {
		c.Roles[i] = strings.TrimSpace(r)
	}
	return c.check()
}

func (c *Config) fill() error {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&c.DataDir, "data")
	def(&c.HTTP.Listen, "127.0.0.1:8400")
	def(&c.HTTP.Ops, "127.0.0.1:8403")
	def(&c.HTTP.Admin, "127.0.0.1:8404")
	def(&c.HTTP.Officers, "127.0.0.1:8405")
	def(&c.WebPush.KeyFile, filepath.Join(c.DataDir, "web-push-key.json"))
	def(&c.SigningKeysFile, filepath.Join(c.DataDir, "signing-keys.json"))
	def(&c.Database.URL, "sqlite:"+filepath.Join(c.DataDir, "rialto.db"))
	if len(c.Staff.Roles) == 0 {
		d := yaml.NewDecoder(bytes.NewReader(staffRoles))
		d.KnownFields(true)
		if err := d.Decode(&c.Staff.Roles); err != nil {
			return fmt.Errorf("config: staff.yaml: %w", err)
		}
	}
	if c.NATS.URL == "" {
		def(&c.NATS.Dir, filepath.Join(c.DataDir, "jetstream"))
	}
	scheme := "http://"
	if c.HTTP.CertFile != "" {
		scheme = "https://"
	}
	def(&c.Hub.PublicURL, scheme+c.HTTP.Listen)
	c.Hub.PublicURL = strings.TrimSuffix(c.Hub.PublicURL, "/")
	for _, secret := range []*string{&c.Database.URL, &c.NATS.URL} {
		v, err := Secret(*secret)
		if err != nil {
			return fmt.Errorf("config: %w", err)
		}
		*secret = v
	}
	return c.check()
}

func (c *Config) check() error {
	var errs []error
	for _, r := range c.Roles {
		if !slices.Contains(roles, r) {
			errs = append(errs, fmt.Errorf("config: roles: there is no role %q (%s)", r, strings.Join(roles, ", ")))
		}
	}
	if (c.HTTP.CertFile == "") != (c.HTTP.KeyFile == "") {
		errs = append(errs, errors.New("config: http.cert_file and http.key_file go together"))
	}
	if !c.Sandbox && !strings.HasPrefix(c.Hub.PublicURL, "https://") && !onLoopback(c.HTTP.Listen) {
		errs = append(errs, errors.New("config: hub.public_url must be https unless the hub listens on loopback or sandbox is set"))
	}
	if !c.Sandbox && c.HTTP.CertFile == "" && !onLoopback(c.HTTP.Ops) {
		errs = append(errs, errors.New("config: http.ops must be on loopback or have a certificate: the operators' token crosses it"))
	}
	if s := c.WebPush.Subject; s != "" && !strings.HasPrefix(s, "mailto:") && !strings.HasPrefix(s, "https://") {
		errs = append(errs, errors.New("config: web_push.subject must begin with mailto: or https://"))
	}
	if err := c.Staff.Roles.Check(rights()); err != nil {
		errs = append(errs, fmt.Errorf("config: staff.roles: %w", err))
	}
	for i, m := range c.Merchants {
		if err := CheckMerchant(&m.Merchant); err != nil {
			errs = append(errs, fmt.Errorf("config: merchants[%d]: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// onLoopback reports whether an address is reached from this machine only.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, perr := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || perr == nil && ip.IsLoopback())
}

// Secret resolves "file:PATH" and "env:NAME"; anything else stands for itself.
func Secret(v string) (string, error) {
	if path, ok := strings.CutPrefix(v, "file:"); ok {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", errors.New("a secret's file can't be read: " + filepath.Base(path))
		}
		s := strings.TrimSpace(string(data))
		if s == "" {
			return "", errors.New("a secret's file is empty: " + filepath.Base(path))
		}
		return s, nil
	}
	if name, ok := strings.CutPrefix(v, "env:"); ok {
		s := os.Getenv(name)
		if s == "" {
			return "", fmt.Errorf("the environment variable %s is empty", name)
		}
		return s, nil
	}
	return v, nil
}

// Load reads the registry's entries.
func (b Banks) Load() ([]banks.Entry, error) {
	entries := b.Entries
	if b.File != "" {
		data, err := os.ReadFile(b.File)
		if err != nil {
			return nil, fmt.Errorf("config: banks.file: %w", err)
		}
		more, err := banks.ParseEntries(data)
		if err != nil {
			return nil, err
		}
		entries = append(entries, more...)
	}
	if b.KnownBanks {
		known, err := KnownBanks()
		if err != nil {
			return nil, err
		}
		entries = append(entries, known...)
	}
	return entries, banks.CheckEntries(entries)
}
