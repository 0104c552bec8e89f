package sca_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/pquerna/otp"

	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/sca"
)

// TestAnotherImplementationReadsOurAddresses: A18. Names that would end the
// issuer, the account or the query early are read back whole by npm's otpauth,
// and its codes are ours.
func TestAnotherImplementationReadsOurAddresses(t *testing.T) {
	dir := testkit.Node(t, filepath.Join("testdata", "interop"))
	type read struct {
		Issuer, Label, Secret, Algorithm, Code string
		Digits, Period                         int
	}
	var addresses []string
	var want []read
	w := sqlite(t)
	at := w.clock.Now()
	for _, params := range []sca.TOTPParams{{}, {Algorithm: "SHA256", Digits: 8}, {Algorithm: "SHA512", Digits: 6}} {
		s, err := sca.New(sca.Config{Origin: origin, Name: "Lucky & Söhne? 100%", TOTP: params}, sca.Deps{Store: w.db, Now: w.clock.Now})
		must(t, err)
		for _, account := range []string{"anna", "anna&secret=AAAA", "a?issuer=Evil#x", "ä ö/%2F"} {
			token, err := s.EnrolPayer(t.Context(), w.db.PersonID("mer_1", account+params.Algorithm))
			must(t, err)
			secret, err := s.OpenEnrolment(t.Context(), token)
			must(t, err)
			by, err := s.Session(t.Context(), sca.SessionEnrol, secret, false)
			must(t, err)
			setup, err := s.BeginTOTP(t.Context(), by, account)
			must(t, err)
			alg := map[string]otp.Algorithm{"": otp.AlgorithmSHA1, "SHA1": otp.AlgorithmSHA1, "SHA256": otp.AlgorithmSHA256, "SHA512": otp.AlgorithmSHA512}[setup.Params.Algorithm]
			a := app{secret: setup.Key, clock: w.clock, digits: otp.Digits(setup.Params.Digits), alg: alg}
			addresses = append(addresses, setup.URL)
			want = append(want, read{"Lucky & Söhne? 100%", account, setup.Key, setup.Params.Algorithm, a.code(), setup.Params.Digits, 30})
		}
	}
	input, err := json.Marshal(map[string]any{"addresses": addresses, "at": at.Unix()})
	must(t, err)
	var output struct{ Results []read }
	testkit.RunNode(t, dir, "otpauth.mjs", input, &output)
	if len(output.Results) != len(want) {
		t.Fatalf("%d of %d were read", len(output.Results), len(want))
	}
	for i, got := range output.Results {
		if got != want[i] {
			t.Errorf("%s is read as %+v, want %+v", addresses[i], got, want[i])
		}
	}
}
