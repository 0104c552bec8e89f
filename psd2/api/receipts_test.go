package api_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/sca"
)

// paper has a receipt for whatever it is asked about.
type paper struct{}

func (paper) Receipt(context.Context, string) (string, error) { return "e30.e30.AAAA", nil }
func (paper) ReceiptKeys(context.Context) ([]byte, error)     { return []byte(`{"keys":[]}`), nil }

// confirm has a payment's payer enrol an authenticator app and confirm.
func confirm(t *testing.T, w *world, s *sca.Service, p *psd2.Payment) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	token, err := s.EnrolPayer(t.Context(), p.PersonID)
	must(err)
	secret, err := s.OpenEnrolment(t.Context(), token)
	must(err)
	by, err := s.Session(t.Context(), sca.SessionEnrol, secret, false)
	must(err)
	setup, err := s.BeginTOTP(t.Context(), by, "paula")
	must(err)
	code, err := totp.GenerateCode(setup.Key, w.now())
	must(err)
	must(s.ConfirmTOTP(t.Context(), by, setup.FactorID, code, "App"))
	w.pass(31 * time.Second)
	c, err := s.Begin(t.Context(), sca.BeginRequest{PersonID: p.PersonID, Level: sca.Any, Session: "browser", Language: "en", Linked: sca.Linked{
		PaymentID: p.ID, Amount: p.Amount, CreditorName: p.Personal.Payee.Name, CreditorIBAN: p.Personal.Payee.IBAN, DebtorRef: p.Personal.Reference}})
	must(err)
	code, err = totp.GenerateCode(setup.Key, w.now())
	must(err)
	_, err = s.Answer(t.Context(), c.ID, sca.Answer{Session: "browser", Method: sca.TOTP, Code: code})
	must(err)
}

// TestReceiptIsTheMerchantsToKeep: what the API gives verifies with the keys it
// publishes and nothing else, by our own code and by another's.
func TestReceiptIsTheMerchantsToKeep(t *testing.T) {
	var service *sca.Service
	w := newWorld(t, func(d *api.Deps) {
		var err error
		service, err = sca.New(sca.Config{Origin: "https://pay.example"}, sca.Deps{Store: d.Store, Now: d.Now,
			Signer: func(now time.Time) (*jose.Key, error) { return d.Keys.Signer(jose.ES256, now) }})
		if err != nil {
			t.Fatal(err)
		}
		d.Receipts = service
	})
	m, other := w.merchant("Casino"), w.merchant("Other")
	p := m.create()
	if got := w.send(w.request(http.MethodGet, "/.well-known/receipt-jwks.json", "")); string(got.body) != `{"keys":[]}` {
		t.Errorf("keys before there is a receipt: %s", got.body)
	}
	problem := func(c *apiclient.Client, want string) {
		t.Helper()
		_, err := c.Receipt(t.Context(), p.ID)
		var no *apiclient.Problem
		if !errors.As(err, &no) || no.Status != http.StatusNotFound || no.Code != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	problem(m.client(), "receipt_not_found")
	payment, err := w.db.Payment(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	confirm(t, w, service, payment)
	problem(other.client(), "payment_not_found") // C01
	jws, err := m.client().Receipt(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	published := w.send(w.request(http.MethodGet, "/.well-known/receipt-jwks.json", "")).body
	keys, err := jose.ParseJWKS(published)
	if err != nil {
		t.Fatal(err)
	}
	r, err := sca.VerifyReceipt(jws, keys)
	if err != nil || r.PaymentID != p.ID || r.Linked.Amount != payment.Amount {
		t.Errorf("%+v %v", r, err)
	}
	stranger, err := jose.NewKeySet(rand.Reader, w.now(), jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sca.VerifyReceipt(jws, stranger.Public()); err == nil {
		t.Error("a stranger's keys verify it")
	}
	t.Run("npm jose", func(t *testing.T) {
		dir := testkit.Node(t, filepath.Join(testkit.Root(t), "sca", "testdata", "interop"))
		input, err := json.Marshal(map[string]any{"jwks": json.RawMessage(published), "receipts": []string{jws, strings.Replace(jws, ".", ".e", 1)}})
		if err != nil {
			t.Fatal(err)
		}
		var output struct {
			Results []*struct{ Payload sca.Receipt }
		}
		testkit.RunNode(t, dir, "receipt.mjs", input, &output)
		if len(output.Results) != 2 || output.Results[0] == nil || output.Results[0].Payload.PaymentID != p.ID || output.Results[1] != nil {
			t.Errorf("%+v", output.Results)
		}
	})
}

func TestHubWithoutConfirmationsHasNoReceipts(t *testing.T) {
	w := newWorld(t, func(d *api.Deps) { d.Receipts = nil })
	m := w.merchant("Casino")
	_, err := m.client().Receipt(t.Context(), m.create().ID)
	var no *apiclient.Problem
	if !errors.As(err, &no) || no.Code != "receipt_not_found" {
		t.Errorf("%v", err)
	}
}
