package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// sealed is a bank that is reached with a QWAC and a QSEAL.
func sealed(t *testing.T, qwac, qseal string) string {
	pair := func(name string) string {
		return fmt.Sprintf("cert_file: %s, key_file: %s", testkit.Standard(t, "certs", name+".pem"), testkit.Standard(t, "certs", name+".key"))
	}
	return "banks:\n  entries:\n    - {id: sealbank, name: Sealbank, countries: [DE], adapter: berlingroup, profile: {base_url: \"https://xs2a.bank.example\", " +
		"redirect_origins: [\"https://bank.example\"], tls: {" + pair(qwac) + "}, signing: {mode: cavage, " + pair(qseal) + "}}}\n"
}

// TestDoctorReadsCertificatesForBanks: it warns a month ahead, blames what has
// ended, and a certificate of somebody who may not initiate payments.
func TestDoctorReadsCertificatesForBanks(t *testing.T) {
	t.Parallel()
	site := func(more string) string {
		dir, _ := site(t, "")
		return write(t, dir, "hub.yaml", "sandbox: true\ndata_dir: "+dir+"/data\n"+more)
	}
	good := site(sealed(t, "qwac-pisp", "qseal-pisp"))
	diagnose(t, good, "")
	diagnose(t, site(sealed(t, "qwac-pisp", "qseal-aisp-only")), "banks")
	diagnose(t, site(sealed(t, "qwac-pisp", "qseal-no-psd2")), "banks")

	cfg, err := configs.Load(good)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2045, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		now  time.Time
		want string
	}{
		"in time":   {end.Add(-renewBefore), ""},
		"soon":      {end.Add(-renewBefore + time.Second), "ends on 2045-01-01"},
		"last hour": {end.Add(-time.Hour), "ends on 2045-01-01"},
		"over":      {end, "ended on 2045-01-01"},
	} {
		detail, err := checkBankCertificates(cfg, c.now)
		_, warned := err.(warning) //nolint:errorlint // the check returns the type itself
		switch {
		case c.want == "" && (err != nil || !strings.HasPrefix(detail, "2,")):
			t.Errorf("%s: %q %v", name, detail, err)
		case c.want != "" && (err == nil || strings.Count(err.Error(), c.want) != 2 || !strings.Contains(err.Error(), "sealbank: the qseal") || warned != (c.now.Before(end))):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRunningHubMeasuresCertificates: both of a bank's, and that of who verifies
// payees.
func TestRunningHubMeasuresCertificates(t *testing.T) {
	t.Parallel()
	cert, key := selfSigned(t, t.TempDir(), "hub.example", time.Now().AddDate(1, 0, 0))
	h := startHub(t, hubConfig(t, nil, "roles: [api]\n"+sealed(t, "qwac-pisp", "qseal-pisp")+
		"payee_verification: {base_url: \"https://vop.bank.example\", tls: {cert_file: "+cert+", key_file: "+key+"}}\n"), nil)
	resp, err := http.Get(h.AdminURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	for _, want := range []string{`bank="sealbank",use="qwac"} `, `bank="sealbank",use="qseal"} `, `bank="payee-verification",use="tls"} `} {
		if err != nil || !strings.Contains(string(page), "rialto_certificate_expiry_seconds{"+want) {
			t.Errorf("no %s: %v", want, err)
		}
	}
}

// TestDoctorWarnsWithoutFailing: what ends soon is said, and the deployment is
// healthy all the same. The verification of payees has a certificate too.
func TestDoctorWarnsWithoutFailing(t *testing.T) {
	t.Parallel()
	for left, blame := range map[time.Duration]string{10 * 24 * time.Hour: "", -time.Hour: "bank certificates"} {
		dir, config := site(t, "")
		cert, key := selfSigned(t, dir, "hub.example", time.Now().Add(left))
		appendTo(t, config, "payee_verification: {base_url: \"https://vop.bank.example\", tls: {cert_file: "+cert+", key_file: "+key+"}}\n")
		diagnose(t, config, blame)
		if _, out, _ := rialto(t, "doctor", "--config", config); strings.Contains(out, "WARN bank certificates") != (blame == "") {
			t.Error(out)
		}
	}
}

// TestDoctorFindsUnreachableChannels: a payee account that could not be paid
// from is found before money is waiting for it.
func TestDoctorFindsUnreachableChannels(t *testing.T) {
	t.Parallel()
	_, config := site(t, "payee_verification: {base_url: \"http://vop.bank.example\"}\n")
	diagnose(t, config, "channels")
}
