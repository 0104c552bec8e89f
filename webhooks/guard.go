package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Resolver looks names up; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// guard decides which addresses we connect to on a merchant's word, so that a
// webhook's URL is no way into our network (SSRF). It checks the URL when it
// is registered, and at each dial every address that the name resolves to; the
// connection then goes to an address that was checked, so a second answer of
// the name server changes nothing.
type guard struct {
	sandbox  bool // loopback is allowed, there with http and any port
	ports    []uint16
	allow    []netip.Prefix
	resolver Resolver
	dialer   net.Dialer
	proxy    *proxy // nil: we connect ourselves
}

// errRefused is the cause of every refusal at dial.
var errRefused = errors.New("webhooks: the address is not allowed")

func newGuard(sandbox bool, ports []int, allow []string, resolver Resolver) (*guard, error) {
	g := &guard{sandbox: sandbox, resolver: resolver}
	if g.resolver == nil {
		g.resolver = net.DefaultResolver
	}
	if len(ports) == 0 {
		ports = []int{443}
	}
	for _, p := range ports {
		if p < 1 || p > 65535 {
			return nil, fmt.Errorf("webhooks: %d is not a port", p)
		}
		g.ports = append(g.ports, uint16(p))
	}
	for _, text := range allow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("webhooks: allowed network: %w", err)
		}
		g.allow = append(g.allow, p.Masked())
	}
	// The socket itself is checked too: the last line, whatever is above it.
	g.dialer = net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil || !g.permits(a.Addr()) {
			return errRefused
		}
		return nil
	}}
	return g, nil
}

// special are the networks of IANA's special-purpose registries (RFC 6890 and
// its successors) with multicast, and of IPv6 everything that embeds an IPv4
// address or lies outside global unicast.
var special = prefixes(`
	0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
	192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24
	203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
	2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20`)

var globalUnicast = netip.MustParsePrefix("2000::/3")

func prefixes(text string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range strings.Fields(text) {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// permits says whether we may connect to an address.
func (g *guard) permits(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap() // ::ffff:127.0.0.1 is 127.0.0.1
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	switch {
	case slices.ContainsFunc(g.allow, contains):
		return true
	case a.IsLoopback():
		return g.sandbox
	case a.Is6() && !globalUnicast.Contains(a): // NAT64, site-local, unique local, link-local, multicast …
		return false
	}
	return !slices.ContainsFunc(special, contains)
}

func isLoopbackName(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// isLoopback says whether a host of a URL can only mean this machine.
func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return isLoopbackName(host) || err == nil && a.Unmap().IsLoopback()
}

// parseURL checks the address of an endpoint as far as it can be checked
// without asking anybody.
func (g *guard) parseURL(text string) (*url.URL, error) {
	refuse := func(why string) (*url.URL, error) {
		return nil, psd2.Invalid("url", "webhook_url_refused", why)
	}
	u, err := url.Parse(text)
	if err != nil || len(text) > 2048 || u.Opaque != "" || u.Host == "" {
		return refuse("the URL cannot be read or is longer than 2048 bytes")
	}
	host := u.Hostname()
	local := g.sandbox && isLoopback(host)
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !local):
		return refuse("the URL must begin with https://")
	case u.User != nil:
		return refuse("the URL must not hold a user name or password")
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return refuse("the URL must not have a fragment")
	case !local && !g.hostAllowed(host):
		return refuse("the host must be a public name or address")
	}
	if port, ok := portOf(u); !ok || !local && !slices.Contains(g.ports, port) {
		return refuse("the port is not one we connect to")
	}
	return u, nil
}

func portOf(u *url.URL) (uint16, bool) {
	text := u.Port()
	switch {
	case text == "" && strings.HasSuffix(u.Host, ":"):
		return 0, false
	case text == "" && u.Scheme == "http":
		return 80, true
	case text == "":
		return 443, true
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n > 0
}

// hostAllowed takes a name or address as it stands in a URL. Anything that
// some resolver may read as a number (2130706433, 0x7f.1, 0177.0.0.1) is
// refused unless it is a plain address.
func (g *guard) hostAllowed(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return g.permits(a)
	}
	host = strings.ToLower(host)
	labels := strings.Split(host, ".")
	if len(labels) < 2 && len(g.allow) == 0 || len(host) > 253 {
		return false
	}
	for _, label := range labels {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	switch top := labels[len(labels)-1]; top {
	case "localhost":
		return false
	case "local", "internal", "lan", "home", "corp", "intranet", "test", "invalid", "example", "onion":
		return len(g.allow) > 0 // special use (RFC 6761) or inside a network: only where the operator opened one
	default:
		return top[0] < '0' || top[0] > '9' // a number: no top-level domain begins with a digit
	}
}

// dial resolves, checks all and connects to one of what was checked.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errRefused
	}
	addresses, err := g.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if !g.permits(a) { // one bad answer spoils all: who mixes them has rebinding in mind
			return nil, errRefused
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || !slices.Contains(g.ports, uint16(n)) && !(g.sandbox && addresses[0].Unmap().IsLoopback()) {
		return nil, errRefused
	}
	for _, a := range addresses {
		var conn net.Conn
		target := netip.AddrPortFrom(a.Unmap(), uint16(n)).String()
		if g.proxy != nil && !a.Unmap().IsLoopback() { // the sandbox's own endpoints are nowhere else
			conn, err = g.proxy.dial(ctx, target)
		} else {
			conn, err = g.dialer.DialContext(ctx, network, target)
		}
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (g *guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if g.sandbox && isLoopbackName(host) {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	if !g.hostAllowed(host) {
		return nil, errRefused
	}
	addresses, err := g.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(addresses) == 0 {
		return nil, &net.DNSError{Err: "no address", Name: "host", IsNotFound: true}
	}
	return addresses, nil
}
