package sandbox_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/berlingroup"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/banks/sandbox/trial"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestSignedRequestsAreTakenAndOthersRefused: the real adapter with a seal of a
// payment initiation service provider is certified at a bank that wants every
// request signed; without a signature nothing is told.
func TestSignedRequestsAreTakenAndOthersRefused(t *testing.T) {
	roots := testkit.Standard(t, "certs/test-ca.pem")
	cert, key := testkit.Standard(t, "certs/qseal-pisp.pem"), testkit.Standard(t, "certs/qseal-pisp.key")
	for mode, missing := range map[sandbox.Signing]string{sandbox.SigningCavage: "Signature", sandbox.SigningJAdES: "X-Jws-Signature"} {
		t.Run(string(mode), func(t *testing.T) {
			s, err := sandbox.Open(sandbox.Config{Banks: []sandbox.Bank{{ID: "siegelbank", Signing: mode, SigningRoots: roots}}}, sandbox.Options{})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(s.Handler())
			t.Cleanup(func() {
				server.Close()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			b := trial.Bank{Operator: psu.Operator{Client: server.Client(), Origin: server.URL}, ID: "siegelbank"}
			bankstest.Run(t, b.Target(func(base string, log *slog.Logger) (banks.Bank, error) {
				return berlingroup.New("siegelbank", berlingroup.Config{BaseURL: base, RedirectOrigins: []string{server.URL}, InsecureLoopback: true,
					DebtorAccount: berlingroup.DebtorEmpty, FundsConfirmation: true,
					Signing: berlingroup.Signing{Mode: berlingroup.SigningMode(mode), CertFile: cert, KeyFile: key, SendCertificate: true}}, banks.Deps{Log: log})
			}))
			unsigned := func(header http.Header, want string) {
				t.Helper()
				w := &world{t: t, srv: server, tpp: server.Client()}
				if a := w.call("GET", payments("siegelbank")+"/absent", header, nil); a.status != http.StatusUnauthorized || a.code() != want {
					t.Errorf("%d %s, want %s", a.status, a.code(), want)
				}
			}
			unsigned(nil, "SIGNATURE_MISSING")
			unsigned(http.Header{missing: {"nonsense"}}, "SIGNATURE_INVALID")
		})
	}
}

// TestSealsOfOthersAreRefused: a certificate without the role of a payment
// initiation service provider is none (ETSI TS 119 495).
func TestSealsOfOthersAreRefused(t *testing.T) {
	roots := testkit.Standard(t, "certs/test-ca.pem")
	s, err := sandbox.Open(sandbox.Config{Banks: []sandbox.Bank{{ID: "siegelbank", Signing: sandbox.SigningCavage, SigningRoots: roots}}}, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, want := range map[string]string{"qseal-pisp": "RESOURCE_UNKNOWN", "qseal-aisp-only": "CERTIFICATE_INVALID", "qseal-no-psd2": "CERTIFICATE_INVALID"} {
		seal, err := jose.LoadQSeal(testkit.Standard(t, "certs/"+name+".pem"), testkit.Standard(t, "certs/"+name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		path := payments("siegelbank") + "/absent"
		h := http.Header{"X-Request-Id": {newUUID()}, "Date": {time.Now().UTC().Format(http.TimeFormat)}}
		signed, err := seal.SignCavage(jose.Message{Method: "GET", Target: path, Header: h})
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range signed {
			h[k] = v
		}
		w := &world{t: t, srv: server, tpp: server.Client()}
		if a := w.call("GET", path, h, nil); a.code() != want {
			t.Errorf("%s: %d %s, want %s", name, a.status, a.code(), want)
		}
	}
}
