package skeleton

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
)

// Config is the profile of one bank.
type Config struct {
	// BaseURL is what /v1 is appended to; https.
	BaseURL string `yaml:"base_url"`
	// RedirectOrigins are the scheme://host[:port] of the bank's login pages. A
	// payer is sent nowhere else.
	RedirectOrigins []string `yaml:"redirect_origins"`
	// TLS is our certificate and whom we trust.
	TLS courier.TLS `yaml:"tls"`
	// InsecureLoopback allows plain http to a loopback address, for a sandbox.
	InsecureLoopback bool `yaml:"insecure_loopback"`
}

// check says everything that is wrong with the profile.
func (c Config) check() (base *url.URL, tls *tls.Config, err error) {
	base, baseErr := courier.ParseBase(c.BaseURL, c.InsecureLoopback)
	tls, tlsErr := c.TLS.Load()
	wrong := []error{baseErr, tlsErr}
	if len(c.RedirectOrigins) == 0 {
		wrong = append(wrong, errors.New("redirect_origins is missing: no payer could be sent to this bank"))
	}
	for _, o := range c.RedirectOrigins {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || !banks.MayVisit(u, c.InsecureLoopback) {
			wrong = append(wrong, fmt.Errorf("redirect_origins: %q must be https://host[:port]", o))
		}
	}
	return base, tls, errors.Join(wrong...)
}
