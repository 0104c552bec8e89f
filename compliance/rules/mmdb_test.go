package rules_test

import (
	"net/netip"
	"testing"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/rules/rulestest"
)

// Country, place and data centre of an address come from the operator's
// databases; what they do not know stays unknown.
func TestAddressesAreReadFromRealDatabases(t *testing.T) {
	var geo, asn rulestest.MMDB
	geo.Add(t, "203.0.113.0/24", map[string]any{"country": map[string]any{"iso_code": "DE"}, "location": map[string]any{"latitude": 52.5, "longitude": 13.4}})
	geo.Add(t, "198.51.100.0/25", map[string]any{"country": map[string]any{"iso_code": "AT"}})
	asn.Add(t, "203.0.113.0/25", map[string]any{"autonomous_system_number": 14061, "autonomous_system_organization": "A cloud"})
	asn.Add(t, "203.0.113.128/25", map[string]any{"autonomous_system_number": 3320})
	s, err := rules.OpenSources(rules.SourcesConfig{GeoIP: geo.Write(t, "City"), ASN: asn.Write(t, "ASN"), Hosting: writeFile(t, "AS14061\n")})
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
		if a, err := netip.ParseAddr(ip); err == nil {
			if country, known := s.Country(a); country != want.country || known != (want.country != "") {
				t.Errorf("%s is in %q, %t", ip, country, known)
			}
		}
		if f.Place != nil && (f.Place.Lat != 52.5 || f.Place.Lon != 13.4) {
			t.Errorf("%s is at %+v", ip, *f.Place)
		}
	}
}
