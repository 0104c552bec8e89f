package configs

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rialto-hub/rialto/psd2"
)

var (
	hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	accent   = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)
)

// maxReturnURI leaves room for what is added to it in a browser's address.
const maxReturnURI = 1500

// Scopes a merchant's tokens may have.
var Scopes = []string{"payments:read", "payments:write", "refunds:write", "payouts:write", "webhooks:write", "reports:read", "keys:write"}

// CheckMerchant says all that is wrong with a merchant, and normalises his
// IBANs. Empty scopes mean payments:read and payments:write.
func CheckMerchant(m *psd2.Merchant) error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !psd2.IsID(psd2.PrefixMerchant, m.ID) {
		say("id must look like mer_ and 26 characters")
	}
	if err := psd2.CheckText("name", m.Name, 70); err != nil || m.Name == "" {
		say("name must have 1 to 70 characters")
	}
	if err := psd2.CheckText("legal_name", m.LegalName, 140); err != nil {
		say("legal_name must have at most 140 characters")
	}
	if m.Website != "" && !hostName.MatchString(m.Website) {
		say("website must be a host name, without https:// and path")
	}
	if m.Accent != "" && !accent.MatchString(m.Accent) {
		say("accent must look like #1a2b3c")
	}
	if m.MaxMinor < 0 {
		say("max_amount_minor must not be negative")
	}
	if len(m.Scopes) == 0 {
		m.Scopes = []string{"payments:read", "payments:write"}
	}
	for _, s := range m.Scopes {
		if !slices.Contains(Scopes, s) {
			say("there is no scope %q", s)
		}
	}
	switch m.PayerPolicy {
	case "":
		m.PayerPolicy = psd2.PayerRequired
	case psd2.PayerRequired, psd2.PayerOptional, psd2.PayerOff:
	default:
		say("payer_policy must be required, optional or off")
	}
	switch m.SCA {
	case "":
		m.SCA = psd2.SCAByPolicy
	case psd2.SCAByPolicy, psd2.SCAAlways, psd2.SCAStrong:
	default:
		say("sca must be by_policy, always or strong")
	}
	if len(m.Accounts) == 0 {
		say("at least one payee account is needed")
	}
	seen := map[string]bool{}
	for i := range m.Accounts {
		a := &m.Accounts[i]
		iban, err := psd2.ParseIBAN(string(a.IBAN))
		if err != nil {
			say("accounts[%d]: %w", i, err)
		}
		a.IBAN = iban
		if !psd2.IsID(psd2.PrefixAccount, a.ID) {
			say("accounts[%d]: id must look like acc_ and 26 characters", i)
		}
		if seen[a.ID] {
			say("accounts[%d]: the id is used twice", i)
		}
		seen[a.ID] = true
		if a.Name == "" || len(a.Name) > 70 || !psd2.IsEPC(a.Name) {
			say("accounts[%d]: name must have 1 to 70 characters that every SEPA bank accepts", i)
		}
		if a.BIC != "" && !psd2.IsBIC(a.BIC) {
			say("accounts[%d]: the BIC is malformed", i)
		}
	}
	if len(m.ReturnURIs) == 0 {
		say("at least one return URI is needed")
	}
	for i, u := range m.ReturnURIs {
		if err := checkReturnURI(u); err != nil {
			say("return_uris[%d]: %w", i, err)
		}
	}
	return errors.Join(errs...)
}

// checkReturnURI accepts absolute http(s) URIs without userinfo or fragment,
// http on loopback names only.
func checkReturnURI(s string) error {
	for i := range len(s) { // url.Parse is lenient; browsers differ
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '\\' {
			return errors.New("only visible ASCII without backslash")
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return errors.New("must be an absolute URI")
	}
	host := u.Hostname()
	loopback := host == "127.0.0.1" || host == "localhost" || strings.HasSuffix(host, ".localhost")
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback):
		return errors.New("must be https")
	case u.User != nil || u.Fragment != "" || strings.Contains(s, "#"):
		return errors.New("must have no user information and no fragment")
	case strings.HasSuffix(host, "."), strings.Contains(u.Path+"/", "/../"), strings.Contains(u.Path+"/", "/./"):
		return errors.New("must be in its shortest form")
	case len(s) > maxReturnURI:
		return fmt.Errorf("must have at most %d characters", maxReturnURI)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("has no usable port")
		}
	}
	return nil
}
