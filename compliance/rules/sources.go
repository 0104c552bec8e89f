package rules

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/rialto-hub/rialto/psd2"
)

// SourcesConfig names the operator's own files. Each may be missing; what
// needs it then says no_data.
type SourcesConfig struct {
	// GeoIP is a MaxMind DB with country and location (GeoLite2-City or alike). The
	// hub also compares by it where payers are asked and where they confirm.
	GeoIP string `yaml:"geoip_file"`
	// ASN is a MaxMind DB with autonomous_system_number.
	ASN string `yaml:"asn_file"`
	// Hosting lists the autonomous systems of data centres, VPNs and Tor, a
	// number a line.
	Hosting string `yaml:"hosting_file"`
	// VASP lists e-money and crypto institutes, one a line: the first four or
	// more characters of a BIC; or, since few banks tell the payer's BIC, a
	// country and how its account numbers begin there ("LT 32500").
	VASP string `yaml:"vasp_file"`
	// Mule lists IBANs of mules and of subjects of earlier reports, one a line.
	Mule string `yaml:"mule_file"`
	// Countries replaces the dated lists that ship (see lists.yaml).
	Countries string `yaml:"countries_file"`
}

// Sources are the operator's files, read. The zero value knows nothing. It is
// safe for concurrent use.
type Sources struct {
	geo, asn *maxminddb.Reader
	hosting  map[uint]bool
	vasp     []string
	codes    []string // of these, countries with bank codes
	mule     map[string]bool
	Lists    *Lists // never nil after OpenSources
}

// OpenSources reads the files that are named. A file that is named and cannot
// be read is an error: an operator who means to watch must not be blind.
func OpenSources(c SourcesConfig) (*Sources, error) {
	s := &Sources{Lists: ShippedLists()}
	err := errors.Join(
		load(c.GeoIP, func(path string) (err error) { s.geo, err = maxminddb.Open(path); return err }),
		load(c.ASN, func(path string) (err error) { s.asn, err = maxminddb.Open(path); return err }),
		load(c.Hosting, s.readHosting), load(c.VASP, s.readVASP), load(c.Mule, s.readMule),
		load(c.Countries, func(path string) error {
			in, err := os.Open(path)
			if err != nil {
				return err
			}
			defer func() { _ = in.Close() }() // only read
			s.Lists, err = ParseLists(in)
			return err
		}))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func load(path string, read func(string) error) error {
	if path == "" {
		return nil
	}
	if err := read(path); err != nil {
		return fmt.Errorf("rules: %s: %w", path, err)
	}
	return nil
}

// Close closes the databases of addresses.
func (s *Sources) Close() error {
	var err error
	for _, r := range []*maxminddb.Reader{s.geo, s.asn} {
		if r != nil {
			err = errors.Join(err, r.Close())
		}
	}
	return err
}

func (s *Sources) readHosting(path string) error {
	s.hosting = map[uint]bool{}
	return lines(path, func(text string) error {
		n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(text), "AS"), 10, 32)
		s.hosting[uint(n)] = true
		return err
	})
}

func (s *Sources) readVASP(path string) error {
	s.vasp = []string{}
	return lines(path, func(text string) error {
		country, code, inAccounts := strings.Cut(text, " ")
		switch {
		case len(text) < 4 || strings.ToUpper(text) != text || inAccounts && (len(country) != 2 || code == ""):
			return errors.New("four or more capitals of a BIC expected, or a country and a bank code")
		case inAccounts:
			s.codes = append(s.codes, country+strings.ReplaceAll(code, " ", ""))
		default:
			s.vasp = append(s.vasp, text)
		}
		return nil
	})
}

func (s *Sources) readMule(path string) error {
	s.mule = map[string]bool{}
	return lines(path, func(text string) error {
		iban, err := psd2.ParseIBAN(text)
		s.mule[string(iban)] = true
		return err
	})
}

// lines reads a list: one thing a line, # begins a comment. An error names the
// line and not what is in it.
func lines(path string, take func(string) error) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	scanner := bufio.NewScanner(in)
	for n := 1; scanner.Scan(); n++ {
		text, _, _ := strings.Cut(scanner.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if take(text) != nil {
			return fmt.Errorf("line %d cannot be read", n)
		}
	}
	return scanner.Err()
}

// Mule says whether an account is on the list of mules; nil without a list or
// an account.
func (s *Sources) Mule(iban string) *bool {
	if s.mule == nil || iban == "" {
		return nil
	}
	listed := s.mule[iban]
	return &listed
}

// VASP says whether an account is with an institute of the list of e-money and
// crypto institutes, by its number or its bank's BIC; nil without a list, and
// when neither can say.
func (s *Sources) VASP(iban psd2.IBAN, bic string) *bool {
	byAccount := len(iban) > 4 && len(s.codes) > 0
	if s.vasp == nil || bic == "" && !byAccount {
		return nil
	}
	listed := bic != "" && slices.ContainsFunc(s.vasp, func(prefix string) bool { return strings.HasPrefix(bic, prefix) }) ||
		byAccount && slices.ContainsFunc(s.codes, func(code string) bool { return strings.HasPrefix(string(iban[:2]+iban[4:]), code) })
	return &listed
}

// Country says in which country an address is; false without a database, and
// when it does not know.
func (s *Sources) Country(a netip.Addr) (iso string, known bool) {
	if s.geo == nil || !a.IsValid() {
		return "", false
	}
	err := s.geo.Lookup(a.Unmap()).DecodePath(&iso, "country", "iso_code")
	return iso, err == nil && iso != ""
}

// Locate fills in where an address is and whether it is a data centre's.
func (s *Sources) Locate(f *Fact, ip string) {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return
	}
	a = a.Unmap()
	if s.geo != nil {
		var record struct {
			Country struct {
				ISO string `maxminddb:"iso_code"`
			} `maxminddb:"country"`
			Location struct {
				Lat *float64 `maxminddb:"latitude"`
				Lon *float64 `maxminddb:"longitude"`
			} `maxminddb:"location"`
		}
		if s.geo.Lookup(a).Decode(&record) == nil {
			f.IPCountry = record.Country.ISO
			if l := record.Location; l.Lat != nil && l.Lon != nil {
				f.Place = &Place{Lat: *l.Lat, Lon: *l.Lon}
			}
		}
	}
	if s.asn != nil && s.hosting != nil {
		var record struct {
			Number uint `maxminddb:"autonomous_system_number"`
		}
		if found := s.asn.Lookup(a); found.Found() && found.Decode(&record) == nil {
			listed := s.hosting[record.Number]
			f.Hosting = &listed
		}
	}
}
