package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// selfSigned writes a key pair for a name that ends at a time.
func selfSigned(t *testing.T, dir, name string, until time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

func appendTo(t *testing.T, config, more string) {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(config), filepath.Base(config), string(text)+more)
}

func withTLS(cert, key, publicURL string) string {
	return "http: {cert_file: " + cert + ", key_file: " + key + "}\nhub: {public_url: \"" + publicURL + "\"}\n"
}

// TestDoctorFindsEachFault plants one fault at a time; the doctor blames the
// right part, exits 1, and finds nothing in a healthy site.
func TestDoctorFindsEachFault(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more  string
		plant func(t *testing.T, dir, config string)
		blame string // "": healthy
	}{
		"healthy": {},
		"healthy, in use": {plant: func(t *testing.T, dir, config string) {
			must(t, "migrate", "--config", config)
			if _, err := jose.LoadOrCreateKeySet(filepath.Join(dir, "data", "signing-keys.json"), rand.Reader, time.Now(), jose.ES256); err != nil {
				t.Fatal(err)
			}
		}},
		"unknown key in the configuration":        {more: "databse: {}\n", blame: "configuration"},
		"others may look into the data directory": {plant: func(t *testing.T, dir, _ string) { chmod(t, filepath.Join(dir, "data"), 0o755) }, blame: "data directory"},
		"others may read the signing keys": {plant: func(t *testing.T, dir, _ string) {
			path := filepath.Join(dir, "data", "signing-keys.json")
			if _, err := jose.LoadOrCreateKeySet(path, rand.Reader, time.Now(), jose.ES256); err != nil {
				t.Fatal(err)
			}
			chmod(t, path, 0o644)
		}, blame: "signing keys"},
		"others may read the deployment's key": {plant: func(t *testing.T, dir, config string) {
			must(t, "migrate", "--config", config)
			chmod(t, filepath.Join(dir, "data", "deployment.key"), 0o644)
		}, blame: "secret files"},
		"signing keys that are none": {plant: func(t *testing.T, dir, _ string) { write(t, filepath.Join(dir, "data"), "signing-keys.json", "{}") }, blame: "signing keys"},
		"another deployment's key": {plant: func(t *testing.T, dir, config string) {
			must(t, "migrate", "--config", config)
			write(t, filepath.Join(dir, "data"), "deployment.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
		}, blame: "database"},
		"a deployment key that is none": {plant: func(t *testing.T, dir, config string) {
			must(t, "migrate", "--config", config)
			write(t, filepath.Join(dir, "data"), "deployment.key", "short\n")
		}, blame: "database"},
		"PostgreSQL does not answer": {more: "database: {url: \"postgres://rialto@127.0.0.1:9/rialto\", key_file: /dev/null}\n", blame: "database"},
		"NATS does not answer":       {more: "nats: {url: \"nats://127.0.0.1:9\"}\n", blame: "nats"},
		"no bank": {plant: func(t *testing.T, dir, config string) {
			write(t, dir, "hub.yaml", "sandbox: true\ndata_dir: "+filepath.Join(dir, "data")+"\nbanks: {known_banks: true}\n")
		}, blame: "banks"},
		"a bank without its interface": {plant: func(t *testing.T, dir, config string) {
			write(t, dir, "hub.yaml", "sandbox: true\ndata_dir: "+filepath.Join(dir, "data")+"\nbanks: {entries: [{id: b, name: B, countries: [DE], adapter: berlingroup}]}\n")
		}, blame: "banks"},
		"files from the future": {plant: func(t *testing.T, dir, config string) {
			must(t, "migrate", "--config", config)
			future := time.Now().Add(time.Hour)
			if err := os.Chtimes(filepath.Join(dir, "data", "rialto.db"), future, future); err != nil {
				t.Fatal(err)
			}
		}, blame: "clock"},
		"others may read the certificate's key": {plant: func(t *testing.T, dir, config string) {
			cert, key := selfSigned(t, dir, "pay.example", time.Now().AddDate(0, 6, 0))
			chmod(t, key, 0o640)
			appendTo(t, config, withTLS(cert, key, "https://pay.example"))
		}, blame: "secret files"},
		"an operator token, which there was once": {more: "ops: {token: secret}\n", blame: "configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, config := site(t, c.more)
			if c.plant != nil {
				c.plant(t, dir, config)
			}
			diagnose(t, config, c.blame)
		})
	}
}

// TestDoctorMissesASecondOperator: with one nothing can be decided; that is a
// warning, not a fault.
func TestDoctorMissesASecondOperator(t *testing.T) {
	t.Parallel()
	_, config := site(t, "")
	for _, want := range []string{"WARN operators", "WARN operators", "ok   operators"} {
		if out := must(t, "doctor", "--config", config); !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
		must(t, "users", "add", "--config", config, "--login", rand.Text()[:8], "--name", "Somebody", "--role", "operator")
	}
}

func TestDoctorReadsCertificates(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(5 * 24 * time.Hour)
	later := time.Now().AddDate(0, 6, 0)
	for name, c := range map[string]struct {
		host  string
		until time.Time
		spoil string
		blame string
	}{
		"good":         {"pay.example", later, "", ""},
		"somebody's":   {"other.example", later, "", "certificate"},
		"expired":      {"pay.example", time.Now().Add(-time.Hour), "", "certificate"},
		"expires soon": {"pay.example", soon, "", "certificate"},
		"no key":       {"pay.example", later, "key.pem", "certificate"},
		"no chain":     {"pay.example", later, "cert.pem", "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, config := site(t, "")
			cert, key := selfSigned(t, dir, c.host, c.until)
			if c.spoil != "" {
				write(t, dir, c.spoil, "nothing")
			}
			appendTo(t, config, withTLS(cert, key, "https://pay.example"))
			diagnose(t, config, c.blame)
		})
	}
	t.Run("of dev-tls", func(t *testing.T) {
		dir, config := site(t, "")
		must(t, "keys", "dev-tls", "--dir", dir)
		appendTo(t, config, withTLS(filepath.Join(dir, "dev-cert.pem"), filepath.Join(dir, "dev-key.pem"), "https://pay.localhost"))
		diagnose(t, config, "")
	})
}

// TestDoctorReachesPostgresAndNATS: what is up is called so.
func TestDoctorReachesPostgresAndNATS(t *testing.T) {
	t.Parallel()
	db := testkit.PostgresConfig(t)
	server, err := bus.StartServer(bus.ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, config := site(t, "database: {url: \"env:RIALTO_TEST_DB\", key_file: "+db.KeyFile+"}\nnats: {url: \""+server.URL()+"\"}\n")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	secret := write(t, filepath.Dir(config), "db-url", db.URL+"\n")
	write(t, filepath.Dir(config), "hub.yaml", strings.Replace(string(text), "env:RIALTO_TEST_DB", "file:"+secret, 1))
	diagnose(t, config, "")
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func diagnose(t *testing.T, config, blame string) {
	t.Helper()
	code, out, errs := rialto(t, "doctor", "--config", config, "--json")
	var report struct {
		OK     bool        `json:"ok"`
		Checks []diagnosis `json:"checks"`
	}
	oneDocument(t, out, &report)
	var bad []string
	for _, c := range report.Checks {
		if !c.OK {
			bad = append(bad, c.Name)
		}
		if c.Detail == "" || c.Name == "" {
			t.Errorf("%+v says nothing", c)
		}
	}
	want := []string{blame}
	wantCode := 1
	if blame == "" {
		want, wantCode = nil, 0
	}
	if code != wantCode || !slices.Equal(bad, want) || report.OK != (blame == "") || errs != "" {
		t.Errorf("exit %d, blames %v, want %v: %s%s", code, bad, want, out, errs)
	}
	plainCode, plain, _ := rialto(t, "doctor", "--config", config)
	if plainCode != wantCode || strings.Contains(plain, "BAD") != (blame != "") {
		t.Errorf("for people: exit %d: %s", plainCode, plain)
	}
}
