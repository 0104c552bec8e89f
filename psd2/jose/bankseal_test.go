package jose_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// seal loads a seal of the collection of test certificates, with its issuer.
func seal(t *testing.T, name string) (*jose.QSeal, *x509.Certificate, *x509.CertPool) {
	t.Helper()
	pair, err := tls.X509KeyPair(testkit.ReadStandard(t, "certs", name+".pem"), testkit.ReadStandard(t, "certs", name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewQSeal(pair)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(testkit.ReadStandard(t, "certs", "test-ca.pem")) {
		t.Fatal("no issuer")
	}
	return s, leaf, roots
}

// order is an initiation as it goes to a bank.
func initiation() jose.Message {
	return jose.Message{
		Method: http.MethodPost, Target: "/psd2/v1/payments/instant-sepa-credit-transfers?x=1", Host: "bank.example",
		Header: http.Header{
			"X-Request-Id": {"99391c7e-ad88-49ec-a2ad-99ddcb1f7721"}, "Psu-Id": {"PSU-1234"}, "Psu-Ip-Address": {"192.0.2.7"},
			"Tpp-Redirect-Uri": {"https://hub.example.test/cb"}, "Date": {"Sun, 22 Nov 2026 12:00:00 GMT"},
		},
		Body: []byte(`{"instructedAmount":{"currency":"EUR","amount":"123.50"}}`),
	}
}

func sealed(m jose.Message, h http.Header, err error) (jose.Message, error) {
	m.Header = m.Header.Clone()
	for name, values := range h {
		m.Header[name] = values
	}
	return m, err
}

// TestRolesOfTestCertificates: who may initiate payments.
func TestRolesOfTestCertificates(t *testing.T) {
	for name, c := range map[string]struct {
		roles []jose.Role
		use   jose.CertificateUse
		fits  bool
	}{
		"qseal-pisp":      {[]jose.Role{jose.RolePISP}, jose.UseSeal, true},
		"qwac-pisp":       {[]jose.Role{jose.RolePISP}, jose.UseWeb, true},
		"qseal-aisp-only": {[]jose.Role{jose.RoleAISP}, jose.UseSeal, false},
		"qseal-no-psd2":   {nil, jose.UseSeal, false},
	} {
		block, _ := pem.Decode(testkit.ReadStandard(t, "certs", name+".pem"))
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		info, err := jose.InspectCertificate(leaf)
		if err != nil {
			t.Fatal(name, err)
		}
		if !slices.Equal(info.Roles, c.roles) || info.OrganizationID != "PSDDE-BAFIN-123456" || info.NotAfter.Year() != 2045 || c.roles != nil && info.AuthorityID != "DE-BAFIN" {
			t.Errorf("%s: %+v", name, info)
		}
		if err := info.Check(c.use, jose.RolePISP); (err == nil) != c.fits {
			t.Errorf("%s: %v", name, err)
		}
	}
	web, _, _ := seal(t, "qwac-pisp")
	if info := web.Certificate(); info.Check(jose.UseSeal, jose.RolePISP) == nil {
		t.Error("a certificate for connections is taken for a seal")
	}
	s, _, _ := seal(t, "qseal-pisp")
	info := s.Certificate()
	if err := info.Check(jose.UseWeb, jose.RolePISP); err == nil {
		t.Error("a seal is taken for a connection")
	}
}

// TestDamagedStatementsAreNoRoles: whatever a certificate's statements are
// turned into, reading them neither panics nor finds a role that is not there.
func TestDamagedStatementsAreNoRoles(t *testing.T) {
	block, _ := pem.Decode(testkit.ReadStandard(t, "certs", "qseal-aisp-only.pem"))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.String() == "1.3.6.1.5.5.7.1.3" })
	value := leaf.Extensions[i].Value
	for at := range value {
		whole := value[at]
		value[at] ^= 0x80
		if info, err := jose.InspectCertificate(leaf); err == nil && info.Has(jose.RolePISP) {
			t.Errorf("byte %d makes a payment initiation service", at)
		}
		value[at] = whole
	}
	leaf.Extensions = append(leaf.Extensions, leaf.Extensions[i])
	if _, err := jose.InspectCertificate(leaf); err == nil {
		t.Error("two statements extensions are taken")
	}
}

func TestCavageSignatureCoversTheMessage(t *testing.T) {
	s, _, roots := seal(t, "qseal-pisp")
	plain := initiation()
	h, err := s.SignCavage(plain, "PSU-IP-Address", "(request-target)", "X-Absent")
	m, err := sealed(plain, h, err)
	if err != nil {
		t.Fatal(err)
	}
	who, err := jose.VerifyCavage(m, roots, noon)
	if err != nil || !who.Has(jose.RolePISP) {
		t.Fatal(who, err)
	}
	signature := m.Header.Get("Signature")
	if want := `headers="digest x-request-id psu-id tpp-redirect-uri date psu-ip-address (request-target)"`; !strings.Contains(signature, want) || !strings.HasPrefix(signature, `keyId="SN=66,CA=CN=TEST%20ONLY`) {
		t.Errorf("%s", signature)
	}
	for name, spoil := range map[string]func(*jose.Message){
		"body":            func(m *jose.Message) { m.Body = []byte(strings.Replace(string(m.Body), "123.50", "923.50", 1)) },
		"body and digest": func(m *jose.Message) { m.Body = []byte(`{}`); m.Header.Set("Digest", jose.Digest(m.Body)) },
		"header":          func(m *jose.Message) { m.Header.Set("Psu-Id", "PSU-1235") },
		"header removed":  func(m *jose.Message) { m.Header.Del("Date") },
		"header added":    func(m *jose.Message) { m.Header.Set("Psu-Corporate-Id", "C") },
		"header twice":    func(m *jose.Message) { m.Header.Add("Psu-Id", "PSU-1234") },
		"target":          func(m *jose.Message) { m.Target = "/psd2/v1/payments/other" },
		"method":          func(m *jose.Message) { m.Method = "PUT" },
		"digest gone":     func(m *jose.Message) { m.Header.Del("Digest") },
		"signature gone":  func(m *jose.Message) { m.Header.Del("Signature") },
		"signature twice": func(m *jose.Message) { m.Header.Add("Signature", signature) },
		"signer gone":     func(m *jose.Message) { m.Header.Del("Tpp-Signature-Certificate") },
		"another signer": func(m *jose.Message) {
			other, _, _ := seal(t, "qseal-aisp-only")
			m.Header.Set("Tpp-Signature-Certificate", other.Encoded())
		},
		"another algorithm": func(m *jose.Message) {
			m.Header.Set("Signature", strings.Replace(signature, "ecdsa-sha256", "rsa-sha256", 1))
		},
		"another key id":  func(m *jose.Message) { m.Header.Set("Signature", strings.Replace(signature, "SN=66", "SN=67", 1)) },
		"not all covered": func(m *jose.Message) { m.Header.Set("Signature", strings.Replace(signature, " psu-id", "", 1)) },
		"parameter twice": func(m *jose.Message) { m.Header.Set("Signature", signature+`,headers="digest x-request-id"`) },
		"unreadable":      func(m *jose.Message) { m.Header.Set("Signature", signature[1:len(signature)-1]) },
	} {
		bad, _ := sealed(m, nil, nil)
		spoil(&bad)
		if who, err := jose.VerifyCavage(bad, roots, noon); err == nil || who != nil {
			t.Errorf("%s: unnoticed", name)
		}
	}
	if _, err := jose.VerifyCavage(m, x509.NewCertPool(), noon); err == nil {
		t.Error("an unknown issuer is believed")
	}
	if _, err := jose.VerifyCavage(m, nil, noon); err == nil || !strings.Contains(err.Error(), "no issuer is trusted") {
		t.Errorf("without roots, the system's are asked: %v", err)
	}
	if _, err := jose.VerifyCavage(m, roots, noon.AddDate(30, 0, 0)); err == nil {
		t.Error("an expired certificate is believed")
	}
	bare := initiation()
	bare.Header.Del("X-Request-Id")
	if _, err := s.SignCavage(bare); err == nil {
		t.Error("a message without X-Request-ID is signed")
	}
}

// TestJAdESProfiles: every switch that banks differ in, made and verified; and
// verified with another profile, refused.
func TestJAdESProfiles(t *testing.T) {
	s, leaf, roots := seal(t, "qseal-pisp")
	known := []*x509.Certificate{leaf}
	profiles := map[string]jose.JAdES{
		"standard":     {},
		"sigT":         {SigT: true},
		"chain":        {Chain: true},
		"hex":          {HexThumbprint: true},
		"digest alone": {Pars: []string{"digest"}},
		"in the wild":  {Pars: []string{"(request-target)", "digest"}, SigT: true},
		"encoded":      {Pars: []string{"digest"}, Encoded: true},
		"encoded, hex": {Pars: []string{"digest"}, Encoded: true, HexThumbprint: true},
		"PSU headers":  {Pars: []string{"(request-target)", "host", "digest", "x-request-id", "psu-ip-address", "x-absent"}},
	}
	for name, p := range profiles {
		h, err := s.SignJAdES(initiation(), p, noon)
		m, err := sealed(initiation(), h, err)
		if err != nil {
			t.Fatal(name, err)
		}
		who, err := jose.VerifyJAdES(m, p, known, roots, noon)
		if err != nil || !who.Has(jose.RolePISP) {
			t.Errorf("%s: %v", name, err)
		}
		if p.Chain {
			known := []*x509.Certificate(nil)
			if _, err := jose.VerifyJAdES(m, p, known, roots, noon); err != nil {
				t.Errorf("%s: with x5c alone: %v", name, err)
			}
		}
		m.Body = append(m.Body, ' ')
		if _, err := jose.VerifyJAdES(m, p, known, roots, noon); err == nil {
			t.Errorf("%s: a changed body is unnoticed", name)
		}
		m.Header.Set("Digest", jose.Digest(m.Body))
		if _, err := jose.VerifyJAdES(m, p, known, roots, noon); err == nil {
			t.Errorf("%s: a changed body and digest are unnoticed", name)
		}
	}
	for _, c := range []struct{ made, asked string }{
		{"digest alone", "standard"}, {"encoded", "digest alone"}, {"digest alone", "encoded"}, {"encoded, hex", "digest alone"}, {"digest alone", "encoded, hex"}, {"hex", "standard"}, {"in the wild", "PSU headers"},
	} {
		h, err := s.SignJAdES(initiation(), profiles[c.made], noon)
		m, _ := sealed(initiation(), h, err)
		if _, err := jose.VerifyJAdES(m, profiles[c.asked], known, roots, noon); err == nil {
			t.Errorf("%s passes for %s", c.made, c.asked)
		}
	}
}

// TestJAdESRefusals: what of the header, the signer and the time is refused.
func TestJAdESRefusals(t *testing.T) {
	s, leaf, roots := seal(t, "qseal-pisp")
	known := []*x509.Certificate{leaf}
	h, err := s.SignJAdES(initiation(), jose.JAdES{}, noon)
	good, err := sealed(initiation(), h, err)
	if err != nil {
		t.Fatal(err)
	}
	header, signature, _ := strings.Cut(good.Header.Get("X-Jws-Signature"), "..")
	raw, _ := base64.RawURLEncoding.DecodeString(header)
	for name, spoil := range map[string]func(map[string]any){
		"alg none":          func(h map[string]any) { h["alg"] = "none" },
		"alg HS256":         func(h map[string]any) { h["alg"] = "HS256" },
		"alg RS256":         func(h map[string]any) { h["alg"] = "RS256" },
		"unknown crit":      func(h map[string]any) { h["crit"] = []string{"sigD", "b64", "exp"}; h["exp"] = 1 },
		"sigD not critical": func(h map[string]any) { h["crit"] = []string{"b64"} },
		"mId": func(h map[string]any) {
			h["sigD"] = map[string]any{"pars": []string{"digest"}, "mId": "http://uri.etsi.org/19182/ObjectIdByURI"}
		},
		"pars upper case":  func(h map[string]any) { h["sigD"].(map[string]any)["pars"] = []string{"Digest"} },
		"pars without":     func(h map[string]any) { h["sigD"].(map[string]any)["pars"] = []string{"x-request-id"} },
		"no time":          func(h map[string]any) { delete(h, "iat") },
		"no thumbprint":    func(h map[string]any) { delete(h, "x5t#S256") },
		"other thumbprint": func(h map[string]any) { h["x5t#S256"] = "AAAA" },
		"x5c of another": func(h map[string]any) {
			other, _, _ := seal(t, "qseal-aisp-only")
			h["x5c"] = []string{other.Encoded()}
		},
		"x5c empty": func(h map[string]any) { h["x5c"] = []string{} },
	} {
		var members map[string]any
		if err := json.Unmarshal(raw, &members); err != nil {
			t.Fatal(err)
		}
		spoil(members)
		changed, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		bad, _ := sealed(good, http.Header{"X-Jws-Signature": {base64.RawURLEncoding.EncodeToString(changed) + ".." + signature}}, nil)
		if _, err := jose.VerifyJAdES(bad, jose.JAdES{}, known, roots, noon); err == nil {
			t.Errorf("%s: unnoticed", name)
		}
	}
	for _, at := range []time.Time{noon.Add(6 * time.Minute), noon.Add(-2 * time.Minute)} {
		if _, err := jose.VerifyJAdES(good, jose.JAdES{}, known, roots, at); err == nil {
			t.Errorf("a signature of %s is taken at %s", noon, at)
		}
	}
	if _, err := jose.VerifyJAdES(good, jose.JAdES{}, nil, roots, noon); err == nil {
		t.Error("a thumbprint nobody knows is taken")
	}
	if _, err := jose.VerifyJAdES(good, jose.JAdES{}, known, x509.NewCertPool(), noon); err == nil {
		t.Error("an unknown issuer is believed")
	}
	if _, err := s.SignJAdES(initiation(), jose.JAdES{Pars: []string{"x-request-id"}}, noon); err == nil {
		t.Error("a signature that does not cover the body is made")
	}
}
