package berlingroup

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// Config is the profile of one bank: everything that differs between two
// banks that speak NextGenPSD2. Only BaseURL and RedirectOrigins have no
// usable zero value.
type Config struct {
	// BaseURL is what /v1 is appended to, e.g. https://psd2.bank.example/berlingroup.
	BaseURL string `yaml:"base_url"`
	// Product is the payment-product; "" is instant-sepa-credit-transfers.
	Product string `yaml:"product"`
	// RedirectOrigins are the scheme://host[:port] of the bank's own login
	// pages. A payer is sent nowhere else.
	RedirectOrigins []string `yaml:"redirect_origins"`
	// RedirectLife is how long an unused redirect can still be used; 0 when
	// the bank does not say.
	RedirectLife time.Duration `yaml:"redirect_life"`
	// RiskAtOnce: the bank may exempt an order from SCA, so that the initiation
	// alone can move money. A bank with Decoupled among its Approaches is taken
	// for one of which that is true anyway (banks.Info.AtRiskOnceSent).
	RiskAtOnce bool `yaml:"risk_at_once"`
	// ExemptionHint is where the bank takes a hint that an exemption from SCA is
	// met. NextGenPSD2 1.3.12 has no place for it: whatever stands here is the
	// bank's own, and unconfirmed until its documentation or a test says so. A bank
	// with one counts as RiskAtOnce.
	ExemptionHint ExemptionHint `yaml:"exemption_hint"`
	// DelegatesSCA: by contract the bank leaves authentication to us. NextGenPSD2
	// has nothing to tell it so with, so nothing is sent: the flag only decides
	// what the hub asks of the payer. Unconfirmed with any bank.
	DelegatesSCA bool `yaml:"delegates_sca"`
	// DebtorAccount says what the bank does without the paying account in the
	// order; "" is DebtorOptional.
	DebtorAccount DebtorMode `yaml:"debtor_account"`
	// Approaches are the bank's ways to authenticate its customer, the one we
	// prefer first; nil is redirect alone.
	Approaches []banks.Approach `yaml:"approaches"`
	// ExplicitAuthorisation asks the bank to have the authorisation started with
	// a request of its own. Whatever it does, its links are followed.
	ExplicitAuthorisation bool `yaml:"explicit_authorisation"`
	// PSUID says whether the bank takes an order without the payer's name at the
	// bank; "" is PSUIDOptional.
	PSUID PSUIDMode `yaml:"psu_id"`
	// PSUIDType is sent with it where the bank knows several kinds of names.
	PSUIDType string `yaml:"psu_id_type"`
	// OAuth is the bank's authorisation server, if it has one.
	OAuth OAuth `yaml:"oauth"`
	// ConfirmationParameter is the name under which the return from the bank
	// carries the confirmation code; "" is confirmationCode.
	ConfirmationParameter string `yaml:"confirmation_parameter"`
	// Signing says how requests are sealed.
	Signing Signing `yaml:"signing"`
	// Notifications: the bank may tell us of news (TPP-Notification-URI). They
	// are only ever a hint to ask.
	Notifications bool `yaml:"notifications"`
	// FundsConfirmation: the bank answers whether funds are available.
	FundsConfirmation bool `yaml:"funds_confirmation"`
	// RejectNoFunds asks the bank to refuse at once when the funds are missing.
	RejectNoFunds bool `yaml:"reject_no_funds"`
	// InitiatingParty is our name in the messages of an XML product
	// (pain.001-…), which need it.
	InitiatingParty string `yaml:"initiating_party"`
	// RequiredHeaders names PSU headers this bank refuses to do without, e.g.
	// PSU-User-Agent. An order that lacks one is not sent.
	RequiredHeaders []string `yaml:"required_headers"`
	// ExtraHeaders are sent with every request, e.g. a TPP brand name.
	ExtraHeaders map[string]string `yaml:"extra_headers"`
	// SecretHeaders are the same, with the value in a file, e.g. an API key.
	SecretHeaders map[string]string `yaml:"secret_headers"`
	// StatusAliases maps the bank's own transactionStatus codes to the
	// standard's, e.g. ACTV: ACTC.
	StatusAliases map[string]string `yaml:"status_aliases"`
	// HolderName lists where the account holder's name is found, as
	// answer.member with answer one of status, authorisation, payment. The
	// first that is there counts. nil looks at status.ownerNames,
	// payment.debtorName, status.psuName and authorisation.psuName.
	HolderName []string `yaml:"holder_name"`
	// ReasonFields are members of a status answer that hold the ISO 20022
	// reason of a refusal, beside the codes in tppMessages. nil is reasonCode.
	ReasonFields []string `yaml:"reason_fields"`
	// TLS is our certificate (QWAC) and whom we trust.
	TLS courier.TLS `yaml:"tls"`
	// InsecureLoopback allows plain http to a loopback address, for a sandbox
	// on this machine. It allows nothing else.
	InsecureLoopback bool `yaml:"insecure_loopback"`
	// ConnectTimeout bounds TCP and TLS together; 0 is 5 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// Timeout bounds a call whose context has no nearer deadline; 0 is 30 s
	// (RTS Art. 33: after that a request counts as unanswered).
	Timeout time.Duration `yaml:"timeout"`
	// IdleConnections is how many connections are kept alive; 0 is 64.
	IdleConnections int `yaml:"idle_connections"`
}

// ExemptionHint is a header of the bank's own with its own words for the
// exemptions of package sca (low_value, trusted_beneficiary, recurring,
// transaction_risk). What has no word is not sent.
type ExemptionHint struct {
	Header string            `yaml:"header"`
	Values map[string]string `yaml:"values"`
}

// of is the header's value for the first of the exemptions that has one.
func (e ExemptionHint) of(exemptions []string) string {
	for _, x := range exemptions {
		if v := e.Values[x]; v != "" {
			return v
		}
	}
	return ""
}

// exemptions are the names that a profile may give words for.
var exemptions = []string{"low_value", "trusted_beneficiary", "recurring", "transaction_risk"}

func (e ExemptionHint) check() error {
	name := textproto.CanonicalMIMEHeaderKey(e.Header)
	switch {
	case e.Header == "" && len(e.Values) == 0:
		return nil
	case e.Header == "" || len(e.Values) == 0:
		return errors.New("exemption_hint: header and values go together")
	case ours[name] || headerText(e.Header) != e.Header || strings.ContainsAny(e.Header, " :"):
		return fmt.Errorf("exemption_hint: header %s may not be set by a profile", name)
	}
	for x, v := range e.Values {
		if !slices.Contains(exemptions, x) || v == "" || headerText(v) != v {
			return fmt.Errorf("exemption_hint: %q is not one of %s, or has a value that no header may have", x, strings.Join(exemptions, ", "))
		}
	}
	return nil
}

// OAuth is the authorisation server of a bank that uses OAuth2, before the
// order (pre-step) or to authorise it (a scaOAuth link).
type OAuth struct {
	// Before: the payer logs in before the order is sent.
	Before bool `yaml:"before"`
	// Issuer is the server's name (RFC 8414); what it says of itself must agree.
	Issuer string `yaml:"issuer"`
	// MetadataURL is where its metadata are; "" takes them from the bank's
	// scaOAuth link.
	MetadataURL string `yaml:"metadata_url"`
	// AuthorizationEndpoint and TokenEndpoint are for a server without metadata.
	AuthorizationEndpoint string `yaml:"authorization_endpoint"`
	TokenEndpoint         string `yaml:"token_endpoint"`
	// ClientID is our name there; "" is the organisation identifier of our
	// certificate.
	ClientID string `yaml:"client_id"`
	// ClientSecretFile holds our secret, where mutual TLS is not enough.
	ClientSecretFile string `yaml:"client_secret_file"`
	// Scope of the login before the order; "" is PIS.
	Scope string `yaml:"scope"`
	// RequireIss: a return without iss (RFC 9207) is refused, whatever the
	// metadata say.
	RequireIss bool `yaml:"require_iss"`
}

// PSUIDMode is what a bank wants for PSU-ID.
type PSUIDMode string

// PSU-ID modes.
const (
	PSUIDOptional  PSUIDMode = "optional"
	PSUIDMandatory PSUIDMode = "mandatory" // with the order; the hub asks for it first
)

// DebtorMode is what a bank wants for debtorAccount when the hub does not know
// the payer's account. The standard's schema makes it mandatory and all its
// members optional; most redirect banks let the payer choose.
type DebtorMode string

// Debtor modes.
const (
	DebtorOptional  DebtorMode = "optional"  // the member is left out
	DebtorEmpty     DebtorMode = "empty"     // an empty object, as the schema has it
	DebtorMandatory DebtorMode = "mandatory" // an order without it is not sent
)

const defaultProduct = "instant-sepa-credit-transfers"

var (
	productName = regexp.MustCompile(`^[a-z0-9.-]{1,64}$`)
	namePlace   = regexp.MustCompile(`^(status|authorisation|payment)\.[A-Za-z0-9_]{1,64}$`)
)

// ours are the headers a profile may not set: the adapter's own, those that
// change how a connection is used, and those that make net/http send a POST
// twice.
var ours = map[string]bool{
	"X-Request-Id": true, "Traceparent": true, "Content-Type": true, "Content-Length": true, "Accept": true, "Host": true,
	"Connection": true, "Transfer-Encoding": true, "Expect": true, "Upgrade": true, "Te": true, "Trailer": true,
	"Idempotency-Key": true, "X-Idempotency-Key": true, "Psu-Ip-Address": true, "Tpp-Redirect-Uri": true, "Tpp-Nok-Redirect-Uri": true,
	"Psu-Id": true, "Psu-Id-Type": true, "Authorization": true, "Tpp-Notification-Uri": true, "Date": true,
	"Digest": true, "Signature": true, "Tpp-Signature-Certificate": true, "X-Jws-Signature": true,
}

// profile is a Config that has been checked, with its files read.
type profile struct {
	Config
	base    *url.URL
	origins []string
	fixed   http.Header
	tls     *tls.Config
	// nameInAuthorisation: the profile itself says so, which is worth a request.
	nameInAuthorisation bool
	xml                 bool // the product is one of XML
	seal                *jose.QSeal
	certificates        []ownCertificate
	clientID            string // at the authorisation server
	clientSecret        string
}

// offers reports whether the bank is known to authenticate in that way.
func (p *profile) offers(a banks.Approach) bool { return slices.Contains(p.Approaches, a) }

// check validates the whole Config and says everything that is wrong with it.
func (c Config) check() (*profile, error) {
	p := &profile{Config: c, fixed: http.Header{}}
	p.Product = orDefault(c.Product, defaultProduct)
	p.DebtorAccount = orDefault(c.DebtorAccount, DebtorOptional)
	p.PSUID = orDefault(c.PSUID, PSUIDOptional)
	p.ConfirmationParameter = orDefault(c.ConfirmationParameter, "confirmationCode")
	p.OAuth.Scope = orDefault(c.OAuth.Scope, "PIS")
	if p.Approaches = slices.Clone(c.Approaches); len(p.Approaches) == 0 {
		p.Approaches = []banks.Approach{banks.Redirect}
	}
	if p.xml = strings.HasPrefix(p.Product, "pain.001-"); p.xml {
		p.DebtorAccount = DebtorMandatory // pain.001 cannot do without
	}
	p.RequiredHeaders = slices.Clone(c.RequiredHeaders)
	p.ConnectTimeout = orDefault(c.ConnectTimeout, 5*time.Second)
	p.Timeout = orDefault(c.Timeout, 30*time.Second)
	p.IdleConnections = orDefault(c.IdleConnections, 64)
	if c.ReasonFields == nil {
		p.ReasonFields = []string{"reasonCode"}
	}
	if c.HolderName == nil {
		p.HolderName = []string{"status.ownerNames", "payment.debtorName", "status.psuName", "authorisation.psuName"}
	}
	p.nameInAuthorisation = slices.ContainsFunc(c.HolderName, func(place string) bool { return strings.HasPrefix(place, "authorisation.") })
	wrong := []error{p.checkBase(), p.checkOrigins(), p.readHeaders(), p.readTLS(), p.readSeal(), p.checkApproaches(), c.ExemptionHint.check()}
	wrong = append(wrong, p.checkOAuth()) // after the certificates: they name the client
	if !productName.MatchString(p.Product) {
		wrong = append(wrong, errors.New("product is not a payment-product"))
	}
	if !slices.Contains([]DebtorMode{DebtorOptional, DebtorEmpty, DebtorMandatory}, p.DebtorAccount) {
		wrong = append(wrong, errors.New("debtor_account must be optional, empty or mandatory"))
	}
	for from, to := range c.StatusAliases {
		if !codeForm.MatchString(from) || !codeForm.MatchString(to) {
			wrong = append(wrong, fmt.Errorf("status_aliases: %q: %q are not status codes", from, to))
		}
	}
	for _, place := range p.HolderName {
		if !namePlace.MatchString(place) {
			wrong = append(wrong, fmt.Errorf("holder_name: %q is not status.…, authorisation.… or payment.…", place))
		}
	}
	if c.RedirectLife < 0 || c.ConnectTimeout < 0 || c.Timeout < 0 || c.IdleConnections < 0 {
		wrong = append(wrong, errors.New("times and counts must not be negative"))
	}
	return p, errors.Join(wrong...)
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (p *profile) checkBase() (err error) {
	p.base, err = courier.ParseBase(p.BaseURL, p.InsecureLoopback)
	return err
}

func (p *profile) checkOrigins() error {
	if len(p.RedirectOrigins) == 0 && (p.offers(banks.Redirect) || p.OAuth.Before) {
		return errors.New("redirect_origins is missing: no payer could be sent to this bank")
	}
	for _, o := range p.RedirectOrigins {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("redirect_origins: %q must be scheme://host[:port]", o)
		}
		if !p.mayVisit(u) {
			return fmt.Errorf("redirect_origins: %q must be https (http only with insecure_loopback, to a loopback host)", o)
		}
		p.origins = append(p.origins, origin(u))
	}
	return nil
}

func (p *profile) checkApproaches() error {
	for i, a := range p.Approaches {
		if a != banks.Redirect && a != banks.Decoupled && a != banks.Embedded || slices.Contains(p.Approaches[:i], a) {
			return errors.New("approaches must be of redirect, decoupled and embedded, each once")
		}
	}
	switch {
	case p.PSUID != PSUIDOptional && p.PSUID != PSUIDMandatory:
		return errors.New("psu_id must be optional or mandatory")
	case p.PSUID == PSUIDMandatory && p.OAuth.Before:
		return errors.New("psu_id cannot be mandatory where the payer logs in before the order")
	case p.xml && p.InitiatingParty == "":
		return errors.New("initiating_party is missing: the messages of an XML product need it")
	}
	return nil
}

// checkOAuth holds the authorisation server to the same rules as the bank: its
// login pages are among redirect_origins, the rest is https.
func (p *profile) checkOAuth() error {
	o := p.OAuth
	static := o.AuthorizationEndpoint != "" || o.TokenEndpoint != ""
	switch {
	case static && (o.AuthorizationEndpoint == "" || o.TokenEndpoint == "" || o.Issuer == ""):
		return errors.New("oauth: authorization_endpoint, token_endpoint and issuer go together")
	case o.Before && !static && o.MetadataURL == "":
		return errors.New("oauth: metadata_url is missing")
	}
	for name, text := range map[string]string{"issuer": o.Issuer, "metadata_url": o.MetadataURL, "authorization_endpoint": o.AuthorizationEndpoint, "token_endpoint": o.TokenEndpoint} {
		u, err := url.Parse(text)
		if text != "" && (err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || !p.mayVisit(u)) {
			return fmt.Errorf("oauth: %s must be https (http only with insecure_loopback, to a loopback host)", name)
		}
	}
	if p.clientID = o.ClientID; p.clientID == "" {
		for _, c := range p.certificates {
			p.clientID = orDefault(p.clientID, c.OrganizationID)
		}
	}
	if o.ClientSecretFile != "" {
		secret, err := os.ReadFile(o.ClientSecretFile)
		if err != nil {
			return fmt.Errorf("oauth: client_secret_file: %w", err)
		}
		p.clientSecret = strings.TrimSpace(string(secret))
	}
	if p.clientID == "" && (o.Before || o.Issuer != "" || o.MetadataURL != "") {
		return errors.New("oauth: client_id is missing, and no certificate names us")
	}
	return nil
}

// mayVisit reports whether the scheme is allowed for that host.
func (p *profile) mayVisit(u *url.URL) bool {
	return banks.MayVisit(u, p.InsecureLoopback)
}

// origin writes scheme://host[:port] in one way only: lower case, no default
// port, IPv6 in brackets.
func origin(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" || u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return strings.ToLower(u.Scheme) + "://" + host
	}
	return strings.ToLower(u.Scheme) + "://" + net.JoinHostPort(host, port)
}

func (p *profile) readHeaders() error {
	set := func(name, value string) error {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if ours[name] || p.fixed[name] != nil {
			return fmt.Errorf("header %s may not be set by a profile, or is set twice", name)
		}
		if value == "" || value != headerText(value) {
			return fmt.Errorf("header %s has no value, or one that no header may have", name)
		}
		p.fixed.Set(name, value)
		return nil
	}
	var wrong []error
	for name, value := range p.ExtraHeaders {
		wrong = append(wrong, set(name, value))
	}
	for name, file := range p.SecretHeaders {
		value, err := os.ReadFile(file)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("header %s: %w", name, err))
			continue
		}
		wrong = append(wrong, set(name, strings.TrimSpace(string(value))))
	}
	for i, name := range p.RequiredHeaders {
		p.RequiredHeaders[i] = textproto.CanonicalMIMEHeaderKey(name)
	}
	return errors.Join(wrong...)
}

func (p *profile) readTLS() (err error) {
	if p.tls, err = p.TLS.Load(); err != nil {
		return err
	}
	for _, own := range p.tls.Certificates {
		info, err := courier.Inspect(own)
		if err == nil {
			err = p.admit(jose.UseWeb, *info)
		}
		if err != nil {
			return fmt.Errorf("tls: our certificate: %w", err)
		}
	}
	return nil
}
