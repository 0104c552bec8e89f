package main

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/devtls"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// rialto runs the program in this process.
func rialto(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = dispatch(env{t.Context(), &out, &errs}, args)
	return code, out.String(), errs.String()
}

// must runs a command that has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := rialto(t, args...)
	if code != 0 {
		t.Fatalf("rialto %s: exit %d: %s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// oneDocument reads standard output as exactly one JSON document.
func oneDocument(t *testing.T, out string, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("more than one document: %q", out)
	}
}

func write(t *testing.T, dir, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// site is a deployment's folder with a configuration that has nothing wrong.
func site(t *testing.T, more string) (dir, config string) {
	t.Helper()
	dir = t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, write(t, dir, "hub.yaml", `data_dir: `+data+`
sandbox: true
banks:
  entries:
    - {id: testbank, name: Testbank, countries: [DE], adapter: berlingroup, profile: {base_url: "http://127.0.0.1:9/xs2a", redirect_origins: ["http://127.0.0.1:9"], insecure_loopback: true}}
`+more)
}

func TestWrongUseExits2AndSaysHow(t *testing.T) {
	t.Parallel()
	_, config := site(t, "")
	for _, args := range [][]string{
		{}, {"nonsense"}, {"--version"}, {"demo", "--json"}, {"demo", "--nonsense"}, {"demo", "extra"}, {"serve", "extra"}, {"serve", "--confg", "x"},
		{"keys"}, {"keys", "nonsense"}, {"keys", "show", "extra"}, {"merchants"}, {"merchants", "nonsense"}, {"merchants", "add"}, {"merchants", "add", "--name", "X"},
		{"migrate", "extra"}, {"doctor", "extra"}, {"doctor", "--config"}, {"version", "extra"}, {"bank", "extra"}, {"bench", "nonsense"},
	} {
		code, out, errs := rialto(t, args...)
		if code != 2 || out != "" || !strings.Contains(errs, "usage") && !strings.Contains(errs, "rialto demo") {
			t.Errorf("rialto %q: exit %d, stdout %q, stderr %.200q", args, code, out, errs)
		}
	}
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"serve", "-h"}, {"keys", "show", "--help"}} {
		if code, out, errs := rialto(t, args...); code != 0 || out != "" || errs == "" {
			t.Errorf("rialto %q: exit %d, stdout %q", args, code, out)
		}
	}
	for _, args := range [][]string{
		{"serve", "--config", "/nowhere/hub.yaml"}, {"migrate", "--config", "/nowhere/hub.yaml"}, {"keys", "show", "--config", config}, {"keys", "rotate", "--config", config},
		{"serve", "--config", config, "--roles", "nonsense"}, {"merchants", "add", "--config", config, "--name", "X", "--keys", "/nowhere", "--iban", "DE"},
	} {
		if code, out, errs := rialto(t, args...); code != 1 || out != "" || errs == "" {
			t.Errorf("rialto %q: exit %d, stdout %q, stderr %q", args, code, out, errs)
		}
	}
}

// TestDemoOnce: one deposit on real parts, told as promised.
func TestDemoOnce(t *testing.T) {
	t.Parallel()
	code, out, errs := rialto(t, "demo", "--once", "--json")
	if code != 0 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var r struct {
		PaymentID string  `json:"payment_id"`
		Status    string  `json:"status"`
		TotalMS   float64 `json:"total_ms"`
		Steps     []struct {
			Name string  `json:"name"`
			MS   float64 `json:"ms"`
		} `json:"steps"`
		Webhooks []struct {
			Type    string `json:"type"`
			HMAC    bool   `json:"hmac_ok"`
			Ed25519 bool   `json:"ed25519_ok"`
			JWS     bool   `json:"jws_ok"`
		} `json:"webhooks"`
	}
	oneDocument(t, out, &r)
	var members map[string]json.RawMessage
	oneDocument(t, out, &members)
	if len(members) != 5 || !psd2.IsID(psd2.PrefixPayment, r.PaymentID) || r.Status != "settled" || r.TotalMS <= 0 {
		t.Errorf("%s", out)
	}
	var types []string
	for _, w := range r.Webhooks {
		if types = append(types, w.Type); !w.HMAC || !w.Ed25519 || !w.JWS {
			t.Errorf("%s: a signature is wrong", w.Type)
		}
	}
	slices.Sort(types)
	if !slices.Equal(types, []string{"payment.authorized", "payment.creditable", "payment.executed", "payment.settled"}) {
		t.Errorf("webhooks: %v", types)
	}
	sum := 0.0
	for _, s := range r.Steps {
		if sum += s.MS; s.Name == "" || s.MS < 0 {
			t.Errorf("step %+v", s)
		}
	}
	if len(r.Steps) < 6 || sum > r.TotalMS+1 {
		t.Errorf("the steps are %v ms of %v", sum, r.TotalMS)
	}
	if out := must(t, "demo", "--once"); !strings.Contains(out, " settled in ") || strings.Contains(out, "false") {
		t.Errorf("for people: %s", out)
	}
}

// TestDemoKeepsItsDataBetweenRuns: the second run in one folder knows the
// first one's payment.
func TestDemoKeepsItsDataBetweenRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var first demo.Report
	oneDocument(t, must(t, "demo", "--once", "--json", "--dir", dir), &first)
	w, err := demo.Start(t.Context(), demo.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	if p, err := w.Hub.Store.Payment(t.Context(), first.PaymentID); err != nil || p.State != psd2.StateSettled {
		t.Errorf("%v, %+v", err, p)
	}
	if _, err := demo.Start(t.Context(), demo.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two hubs in one data directory: %v", err)
	}
}

func TestKeysRotateWithOverlap(t *testing.T) {
	t.Parallel()
	dir, config := site(t, "")
	path := filepath.Join(dir, "data", "signing-keys.json")
	if _, err := jose.LoadOrCreateKeySet(path, rand.Reader, time.Now(), jose.ES256); err != nil {
		t.Fatal(err)
	}
	kids := func() (list []string) {
		var set struct {
			Keys []map[string]any `json:"keys"`
		}
		oneDocument(t, must(t, "keys", "show", "--config", config), &set)
		for _, k := range set.Keys {
			if _, private := k["d"]; private {
				t.Fatal("a private key is shown")
			}
			list = append(list, k["kid"].(string))
		}
		return list
	}
	signer := func() string {
		set, err := jose.LoadKeySet(path)
		if err != nil {
			t.Fatal(err)
		}
		k, err := set.Signer(jose.ES256, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return k.ID()
	}
	before, old := kids(), signer()
	must(t, "keys", "rotate", "--config", config)
	if after := kids(); len(after) != len(before)+1 || !slices.Contains(after, old) {
		t.Errorf("published: %v, before: %v", after, before)
	}
	if signer() != old {
		t.Error("the new key signs before receivers can know it")
	}
	must(t, "keys", "rotate", "--config", config, "--lead", "0s", "--overlap", "1h")
	if signer() == old || !slices.Contains(kids(), old) {
		t.Error("without lead the new key signs at once, and the old one still verifies")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestMerchantsAreAddedAndListed(t *testing.T) {
	t.Parallel()
	dir, config := site(t, "")
	must(t, "keys", "merchant", "--dir", dir)
	for name, mode := range map[string]os.FileMode{"merchant-key.json": 0o600, "merchant-jwks.json": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	add := func(more ...string) []string {
		return append([]string{"merchants", "add", "--config", config, "--name", "Lucky Tide", "--iban", string(shopIBAN), "--return-uri", "https://casino.example/back",
			"--keys", filepath.Join(dir, "merchant-jwks.json"), "--json"}, more...)
	}
	var m psd2.Merchant
	oneDocument(t, must(t, add()...), &m)
	if !psd2.IsID(psd2.PrefixMerchant, m.ID) || len(m.Accounts) != 1 || m.Accounts[0].IBAN != shopIBAN || len(m.Scopes) != 2 {
		t.Errorf("%+v", m)
	}
	for _, bad := range [][]string{
		{"--iban", "DE89370400440532013001"}, {"--return-uri", "http://casino.example/back"}, {"--scope", "everything"}, {"--payer", "perhaps"},
		{"--keys", filepath.Join(dir, "merchant-key.json")}, {"--id", "mer_1"}, {"--keys", config},
	} {
		if code, out, errs := rialto(t, add(bad...)...); code != 1 || out != "" || errs == "" {
			t.Errorf("%v: exit %d, %q %q", bad, code, out, errs)
		}
	}
	var list []psd2.Merchant
	oneDocument(t, must(t, "merchants", "list", "--config", config, "--json"), &list)
	if len(list) != 1 || list[0].ID != m.ID {
		t.Errorf("%+v", list)
	}
	if out := must(t, "merchants", "list", "--config", config); !strings.Contains(out, m.ID) || strings.Contains(out, string(shopIBAN)) {
		t.Errorf("for people, masked: %s", out)
	}
	must(t, add("--id", m.ID, "--name", "Lucky Tide Two")...)
	oneDocument(t, must(t, "merchants", "list", "--config", config, "--json"), &list)
	if len(list) != 1 || list[0].Name != "Lucky Tide Two" {
		t.Errorf("an existing id was not replaced: %+v", list)
	}
	if out := must(t, "migrate", "--config", config); !strings.Contains(out, "up to date") {
		t.Error(out)
	}
}

// TestDevTLSIsForLoopbackOnly looks at the files of keys dev-tls.
func TestDevTLSIsForLoopbackOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := devtls.Write(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "dev-key.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key can be read by others: %v %v", info, err)
	}
	read := func(name string) *x509.Certificate {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ca, leaf := read("dev-ca.pem"), read("dev-cert.pem")
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "pay.localhost"}); err != nil {
		t.Error(err)
	}
	for _, name := range leaf.DNSNames {
		if name != "localhost" && !strings.HasSuffix(name, ".localhost") {
			t.Errorf("it is good for %s", name)
		}
	}
	for _, ip := range leaf.IPAddresses {
		if !ip.IsLoopback() {
			t.Errorf("it is good for %s", ip)
		}
	}
	if leaf.IsCA || !ca.MaxPathLenZero || time.Until(leaf.NotAfter) > 100*24*time.Hour {
		t.Error("it can do more than it should")
	}
}
