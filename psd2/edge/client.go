package edge

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// client finds who sent the request. Unless the peer is a trusted proxy it is
// the peer. Else X-Forwarded-For is read from the right, because only what
// trusted hops appended is true: the first address that is not one of ours is
// the client. What cannot be read ends the walk at the last hop we trust.
func (e *Edge) client(r *http.Request) (addr netip.Addr, port string, trusted bool) {
	addr, port = parseHop(r.RemoteAddr)
	if !e.trusts(addr) {
		return addr, port, false
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	hops = hops[max(0, len(hops)-maxHops):] // what stands further left a stranger wrote
	for i := len(hops) - 1; i >= 0; i-- {
		hop, hopPort := parseHop(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			break
		}
		addr, port = hop, hopPort
		if !e.trusts(hop) {
			break
		}
	}
	return addr, port, true
}

// maxHops bounds the walk; no honest chain is that long.
const maxHops = 32

func (e *Edge) trusts(addr netip.Addr) bool {
	for _, prefix := range e.TrustedProxies {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHop reads an address with or without port, [brackets] and zone.
func parseHop(s string) (netip.Addr, string) {
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return addr.Unmap().WithZone(""), ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.Addr{}, ""
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, ""
	}
	return addr.Unmap().WithZone(""), port
}

// AddrKey is the rate-limit key of an address: the address itself for IPv4,
// its /64 for IPv6, because one subscriber holds at least that many.
func AddrKey(addr netip.Addr) string {
	if !addr.IsValid() {
		return "unknown"
	}
	if addr.Is4() {
		return addr.String()
	}
	return maskTo(addr, 64)
}

// clientNet is what the log keeps of an address: /24 or /48.
func clientNet(addr netip.Addr) string {
	switch {
	case !addr.IsValid():
		return ""
	case addr.Is4():
		return maskTo(addr, 24)
	}
	return maskTo(addr, 48)
}

func maskTo(addr netip.Addr, bits int) string {
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return prefix.String()
}
