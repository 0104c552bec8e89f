package banks

import (
	"net/netip"
	"net/url"
	"strings"
)

// IsLoopback holds for loopback addresses and for localhost and the names
// beneath it (RFC 6761 §6.3): the only hosts that may be reached without TLS.
func IsLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// MayVisit reports whether the scheme is allowed for the host: https, and with
// insecureLoopback also http to a loopback host.
func MayVisit(u *url.URL, insecureLoopback bool) bool {
	return u.Scheme == "https" || u.Scheme == "http" && insecureLoopback && IsLoopback(u.Hostname())
}
