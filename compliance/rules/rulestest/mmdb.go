package rulestest

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// MMDB writes a small MaxMind DB (format 2.0, IPv4, 24-bit records): some
// networks with a record each.
type MMDB struct {
	nodes [][2]int // next node, or negative: -1 none, -2-offset data
	data  bytes.Buffer
}

// Add gives the addresses of a network a record; networks must not overlap.
func (m *MMDB) Add(t testing.TB, network string, record map[string]any) {
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
func encodeMMDB(t testing.TB, to *bytes.Buffer, v any) {
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

// Write writes the database to a file of the test and names it.
func (m *MMDB) Write(t testing.TB, kind string) string {
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
