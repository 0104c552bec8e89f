package rules_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rialto-hub/rialto/compliance/rules"
)

// mmdb writes a small MaxMind DB (format 2.0, IPv4, 24-bit records): some
// networks with a record each.
type mmdb struct {
	nodes [][2]int // next node, or negative: -1 none, -2-offset data
	data  bytes.Buffer
}

func (m *mmdb) add(t *testing.T, network string, record map[string]any) {
	t.Helper()
	p := netip.MustParsePrefix(network)
	if len(m.nodes) == 0 {
		m.nodes = append(m.nodes, [2]int{-1, -1})
	}
	offset := m.data.Len()
	encodeMMDB(t, &m.data, record)
	address, node := p.Addr().As4(), 0
	for i := range p.Bits() {
		bit := int(address[i/8]>>(7-i%8)) & 1
		if i == p.Bits()-1 {
			m.nodes[node][bit] = -2 - offset
			return
		}
		if m.nodes[node][bit] < 0 {
			m.nodes = append(m.nodes, [2]int{-1, -1})
			m.nodes[node][bit] = len(m.nodes) - 1
		}
		node = m.nodes[node][bit]
	}
}

// encodeMMDB writes a value of the data section.
func encodeMMDB(t *testing.T, to *bytes.Buffer, v any) {
	t.Helper()
	control := func(kind, size int) {
		switch {
		case size > 28+255:
			t.Fatal("too long for this encoder")
		case kind > 7:
			to.Write([]byte{byte(size), byte(kind - 7)})
		case size > 28:
			to.Write([]byte{byte(kind<<5 | 29), byte(size - 29)})
		default:
			to.WriteByte(byte(kind<<5 | size))
		}
	}
	switch v := v.(type) {
	case string:
		control(2, len(v))
		to.WriteString(v)
	case float64:
		control(3, 8)
		_ = binary.Write(to, binary.BigEndian, math.Float64bits(v)) // a buffer takes everything
	case int:
		control(6, 4)
		_ = binary.Write(to, binary.BigEndian, uint32(v))
	case []string:
		control(11, len(v))
		for _, s := range v {
			encodeMMDB(t, to, s)
		}
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		control(7, len(keys))
		for _, k := range keys {
			encodeMMDB(t, to, k)
			encodeMMDB(t, to, v[k])
		}
	default:
		t.Fatalf("%T", v)
	}
}

func (m *mmdb) write(t *testing.T, kind string) string {
	t.Helper()
	var out bytes.Buffer
	for _, n := range m.nodes {
		for _, next := range n {
			switch {
			case next == -1:
				next = len(m.nodes)
			case next < -1:
				next = len(m.nodes) + 16 + (-2 - next)
			}
			out.Write([]byte{byte(next >> 16), byte(next >> 8), byte(next)})
		}
	}
	out.Write(make([]byte, 16))
	out.Write(m.data.Bytes())
	out.WriteString("\xab\xcd\xefMaxMind.com")
	encodeMMDB(t, &out, map[string]any{"binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1, "database_type": kind,
		"description": map[string]any{}, "ip_version": 4, "languages": []string{"en"}, "node_count": len(m.nodes), "record_size": 24})
	path := filepath.Join(t.TempDir(), kind+".mmdb")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Country, place and data centre of an address come from the operator's
// databases; what they do not know stays unknown.
func TestAddressesAreReadFromRealDatabases(t *testing.T) {
	var geo, asn mmdb
	geo.add(t, "203.0.113.0/24", map[string]any{"country": map[string]any{"iso_code": "DE"}, "location": map[string]any{"latitude": 52.5, "longitude": 13.4}})
	geo.add(t, "198.51.100.0/25", map[string]any{"country": map[string]any{"iso_code": "AT"}})
	asn.add(t, "203.0.113.0/25", map[string]any{"autonomous_system_number": 14061, "autonomous_system_organization": "A cloud"})
	asn.add(t, "203.0.113.128/25", map[string]any{"autonomous_system_number": 3320})
	s, err := rules.OpenSources(rules.SourcesConfig{GeoIP: geo.write(t, "City"), ASN: asn.write(t, "ASN"), Hosting: writeFile(t, "AS14061\n")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	yes, no := true, false
	for ip, want := range map[string]struct {
		country string
		placed  bool
		hosting *bool
	}{
		"203.0.113.7":        {"DE", true, &yes},
		"203.0.113.200":      {"DE", true, &no},
		"::ffff:203.0.113.7": {"DE", true, &yes}, // an IPv4 peer on a dual-stack listener
		"198.51.100.1":       {"AT", false, nil},
		"198.51.100.200":     {"", false, nil},
		"192.0.2.1":          {"", false, nil},
		"no address":         {"", false, nil},
	} {
		var f rules.Fact
		s.Locate(&f, ip)
		if f.IPCountry != want.country || (f.Place != nil) != want.placed || (f.Hosting == nil) != (want.hosting == nil) || f.Hosting != nil && *f.Hosting != *want.hosting {
			t.Errorf("%s: country %q, place %v, hosting %v", ip, f.IPCountry, f.Place, f.Hosting)
		}
		if f.Place != nil && (f.Place.Lat != 52.5 || f.Place.Lon != 13.4) {
			t.Errorf("%s is at %+v", ip, *f.Place)
		}
	}
}
