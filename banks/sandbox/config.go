package sandbox

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// HolderMode says where a bank names the holder of the paying account.
type HolderMode string

// Holder modes.
const (
	HolderInStatus    HolderMode = "status"    // debtorName in the payment, ownerNames in its status, and in statements
	HolderInStatement HolderMode = "statement" // only in the payee's statement
	HolderNever       HolderMode = "never"
)

// Approach is how a bank authenticates its customers.
type Approach string

// Approaches (NextGenPSD2 ASPSP-SCA-Approach).
const (
	Redirect  Approach = "redirect"  // on the bank's own pages
	Decoupled Approach = "decoupled" // in the bank's app: /{bank}/phone/{user}
	Embedded  Approach = "embedded"  // through the TPP: PSU-ID, password, method, code
)

// OAuthMode is what a bank uses OAuth 2.0 for.
type OAuthMode string

// OAuth modes; "" is none.
const (
	OAuthPreStep    OAuthMode = "pre-step"   // a token is needed before the order
	OAuthIntegrated OAuthMode = "integrated" // the payer confirms the order at the authorisation endpoint
)

// Signing is how a bank wants requests signed; "" is not at all.
type Signing string

// Ways to sign.
const (
	SigningCavage Signing = "cavage" // Digest, Signature, TPP-Signature-Certificate
	SigningJAdES  Signing = "jades"  // x-jws-signature
)

// Config describes the sandbox. The zero value is usable: the banks of
// DefaultBanks, in memory.
type Config struct {
	// File is the SQLite file; "" keeps everything in memory.
	File string `yaml:"file"`
	// URL is the public origin, e.g. "https://bank.localhost:8443"; "" takes
	// scheme and host from each request.
	URL string `yaml:"url"`
	// Banks to host; none means DefaultBanks.
	Banks []Bank `yaml:"banks"`
	// Payees are merchants' accounts with a name the payer sees. An account
	// that is not listed is opened on its first credit, so that every transfer
	// has two sides.
	Payees []Payee `yaml:"payees"`
}

// Bank is one pretend ASPSP.
type Bank struct {
	ID       string `yaml:"id"` // first part of the path: small letters, digits, hyphen
	Name     string `yaml:"name"`
	BIC      string `yaml:"bic"`
	BankCode string `yaml:"bank_code"` // eight digits; "" derives an unassigned one from the position
	Colour   string `yaml:"colour"`    // CSS colour #rrggbb of its pages
	// Holder says where the paying account's holder is named; "" is HolderInStatus.
	Holder HolderMode `yaml:"holder"`
	// Final is the last status the bank reports: "ACCC" (default) or "ACSC".
	Final string `yaml:"final"`
	// Approach is how customers are authenticated; "" is Redirect.
	Approach Approach `yaml:"approach"`
	// Explicit: the authorisation begins only when the TPP starts it
	// (startAuthorisation). Embedded banks are explicit by nature.
	Explicit bool `yaml:"explicit"`
	// Confirmation: the payer brings back a code, and only with it is the order
	// authorised (the confirmation link). Redirect only.
	Confirmation bool `yaml:"confirmation"`
	// OAuth is what the bank's authorisation server is for.
	OAuth OAuthMode `yaml:"oauth"`
	// CancelAuthorisation: the payer has to authorise a cancellation as well.
	CancelAuthorisation bool `yaml:"cancel_authorisation"`
	// DebtorRequired and PSUIDRequired refuse an order that does not name the
	// paying account, or the customer (PSU-ID).
	DebtorRequired bool `yaml:"debtor_required"`
	PSUIDRequired  bool `yaml:"psu_id_required"`
	// Signing: requests must be signed that way, with a certificate (QSEAL) that
	// SigningRoots trusts.
	Signing Signing `yaml:"signing"`
	// SigningRoots is a file with the roots of the TPPs' certificates, PEM.
	SigningRoots string `yaml:"signing_roots"`
	// XML: the bank takes pain.001-instant-sepa-credit-transfers as well.
	XML  bool   `yaml:"xml"`
	hint string // what the start page says of it beside its features: a key of the texts
	// Down answers everything with 503 until the switch is turned.
	Down bool `yaml:"down"`
	// RedirectLife is how long an order waits for its payer; 0 is 15 minutes.
	RedirectLife time.Duration `yaml:"redirect_life"`
	// LateBy is how long the persona "late" waits for execution; 0 is 10 s.
	LateBy time.Duration `yaml:"late_by"`
	// SilentFor is how many status questions the persona "silent" leaves
	// unanswered after execution; 0 is 3.
	SilentFor int `yaml:"silent_for"`
}

// Payee is an account that receives money.
type Payee struct {
	IBAN psd2.IBAN `yaml:"iban"`
	Name string    `yaml:"name"`
}

// DefaultBanks are the banks of a sandbox without configuration: one for each
// way of naming the account holder, one that is closed, one for each way of
// authenticating a customer. Their bank codes begin with 9, which no German
// bank has.
func DefaultBanks() []Bank {
	return []Bank{
		{ID: "sandbank", Name: "Sandbank", BIC: "SANDDEFFXXX", BankCode: "90010000", Colour: "#7a4b12", Holder: HolderInStatus},
		{ID: "deichbank", Name: "Deichbank", BIC: "DEICDEHHXXX", BankCode: "90020000", Colour: "#1d5a2d", Holder: HolderInStatement},
		{ID: "heidebank", Name: "Heidebank", BIC: "HEIDDEBBXXX", BankCode: "90030000", Colour: "#6a2a68", Holder: HolderNever},
		{ID: "ebbebank", Name: "Ebbebank", BIC: "EBBEDEHBXXX", BankCode: "90040000", Colour: "#51585f", Down: true},
		{ID: "kranichbank", Name: "Kranichbank", BIC: "KRANDEHHXXX", BankCode: "90110000", Colour: "#274b8f", Explicit: true, CancelAuthorisation: true},
		{ID: "muehlenbank", Name: "Mühlenbank", BIC: "MUEHDEFFXXX", BankCode: "90120000", Colour: "#7c2f2f", Confirmation: true},
		{ID: "hafenbank", Name: "Hafenbank", BIC: "HAFEDEHHXXX", BankCode: "90130000", Colour: "#1f5c73", OAuth: OAuthPreStep},
		{ID: "lindenbank", Name: "Lindenbank", BIC: "LINDDEBBXXX", BankCode: "90140000", Colour: "#4c5f14", OAuth: OAuthIntegrated},
		{ID: "moorbank", Name: "Moorbank", BIC: "MOORDEHBXXX", BankCode: "90150000", Colour: "#5b4636", Approach: Decoupled, PSUIDRequired: true, CancelAuthorisation: true},
		{ID: "inselbank", Name: "Inselbank", BIC: "INSEDEHHXXX", BankCode: "90160000", Colour: "#0f5f57", Approach: Embedded},
		{ID: "foerdebank", Name: "Fördebank", BIC: "FOERDEFFXXX", BankCode: "90170000", Colour: "#3f3a83", XML: true, DebtorRequired: true},
		{ID: "sturmbank", Name: "Sturmbank", BIC: "STURDEHHXXX", BankCode: "90180000", Colour: "#8a1f4b", hint: "storm"},
	}
}

func (c Config) withDefaults() (Config, error) {
	if len(c.Banks) == 0 {
		c.Banks = DefaultBanks()
	}
	c.Banks = append([]Bank(nil), c.Banks...)
	if c.URL != "" {
		u, err := url.Parse(c.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return c, fmt.Errorf("sandbox: url must be an origin such as https://bank.localhost:8443")
		}
		c.URL = strings.TrimRight(c.URL, "/")
	}
	seen := map[string]bool{"sandbox": true, "vop": true} // paths of their own
	for i := range c.Banks {
		b := &c.Banks[i]
		if err := b.fill(i); err != nil {
			return c, err
		}
		if seen[b.ID] || seen[b.BankCode] {
			return c, fmt.Errorf("sandbox: bank %q: id or bank_code is taken", b.ID)
		}
		seen[b.ID], seen[b.BankCode] = true, true
	}
	for _, p := range c.Payees {
		if _, err := psd2.ParseIBAN(string(p.IBAN)); err != nil {
			return c, fmt.Errorf("sandbox: payees: %w", err)
		}
	}
	return c, nil
}

// fill checks the bank and puts the defaults in.
func (b *Bank) fill(position int) error {
	setDefault(&b.Name, b.ID)
	setDefault(&b.BankCode, fmt.Sprintf("9%03d0000", 100+position))
	setDefault(&b.BIC, "RLTODEFFXXX")
	setDefault(&b.Colour, "#44505c")
	setDefault(&b.Holder, HolderInStatus)
	setDefault(&b.Approach, Redirect)
	b.Explicit = b.Explicit || b.Approach == Embedded
	setDefault(&b.Final, "ACCC")
	setDefault(&b.RedirectLife, 15*time.Minute)
	setDefault(&b.LateBy, 10*time.Second)
	setDefault(&b.SilentFor, 3)
	bad := func(field string) error { return fmt.Errorf("sandbox: bank %q: %s is not valid", b.ID, field) }
	switch {
	case !isSlug(b.ID):
		return bad("id")
	case !psd2.IsBIC(b.BIC):
		return bad("bic")
	case len(b.BankCode) != 8 || strings.Trim(b.BankCode, "0123456789") != "":
		return bad("bank_code")
	case len(b.Colour) != 7 || b.Colour[0] != '#' || strings.Trim(b.Colour[1:], "0123456789abcdefABCDEF") != "":
		return bad("colour")
	case b.Holder != HolderInStatus && b.Holder != HolderInStatement && b.Holder != HolderNever:
		return bad("holder")
	case b.Approach != Redirect && b.Approach != Decoupled && b.Approach != Embedded:
		return bad("approach")
	case b.OAuth != "" && b.OAuth != OAuthPreStep && b.OAuth != OAuthIntegrated || b.OAuth == OAuthIntegrated && b.Approach != Redirect:
		return bad("oauth")
	case b.Confirmation && (b.Approach != Redirect || b.OAuth == OAuthIntegrated):
		return bad("confirmation")
	case b.Signing != "" && b.Signing != SigningCavage && b.Signing != SigningJAdES || b.Signing != "" && b.SigningRoots == "":
		return bad("signing or signing_roots")
	case b.Final != "ACCC" && b.Final != "ACSC":
		return bad("final")
	case b.RedirectLife < 0 || b.LateBy < 0 || b.SilentFor < 0:
		return bad("redirect_life, late_by or silent_for")
	}
	return nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// isSlug keeps what goes into paths plain: small letters, digits, hyphen, dot.
func isSlug(s string) bool {
	return s != "" && len(s) <= 60 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" && s[0] != '.'
}
