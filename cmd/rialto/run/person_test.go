package run

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
)

// TestPersonIsToldAndForgottenWithHisFactors: what is kept for a payer's
// authentication is in what he is told, and goes with him.
func TestPersonIsToldAndForgottenWithHisFactors(t *testing.T) {
	cfg, err := configs.Parse([]byte("sandbox: true\ndata_dir: " + filepath.Join(t.TempDir(), "hub") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.HTTP.Ops, cfg.HTTP.Admin, cfg.HTTP.Officers = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, err := Start(t.Context(), cfg, Options{Public: l})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	m := &psd2.Merchant{ID: merchantID, Name: "Shop", PayerPolicy: psd2.PayerOff, ReturnURIs: []string{"https://shop.example/"},
		Accounts: []psd2.PayeeAccount{{ID: accountID, Name: "Shop Ltd", IBAN: "DE89370400440532013000"}}}
	person := h.Store.PersonID(merchantID, "anna")
	must(h.Store.Tx(t.Context(), func(tx *store.Tx) error { return tx.PutMerchant(m) }))
	must(h.Store.Tx(t.Context(), func(tx *store.Tx) error {
		p, _, err := h.hub.StartIn(tx, m, hub.StartRequest{Amount: psd2.Euro(2500), PayeeAccountID: accountID, Reference: "R 1",
			Player: psd2.Player{Reference: "anna"}, ReturnURI: "https://shop.example/"})
		if err != nil {
			return err
		}
		_, err = tx.UpdatePayment(p.ID, func(p *psd2.Payment) error { return p.Refuse(psd2.ReasonPaymentNotPossible, tx.Now) })
		return err
	}))
	by := enrolment(t, h, person)
	officer := compliance.Officer{ID: "usr_1", Name: "Ada Admin", Roles: []compliance.Role{compliance.Admin}, Credential: rand.Text()}
	told, err := h.desk.Disclose(t.Context(), officer, person)
	must(err)
	text, err := json.Marshal(told)
	must(err)
	if !strings.Contains(string(text), `"elsewhere":{"authentication":{"factors":[{"method":"recovery"`) {
		t.Errorf("what he is told: %s", text)
	}
	must(h.desk.Erase(t.Context(), officer, person, "he asked for it"))
	if by() == nil {
		t.Error("his session is still open")
	}
	if list, err := h.payers.Factors(context.Background(), person); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
}

// enrolment gives a person a factor past the pages; the result asks whether his
// session is still open.
func enrolment(t *testing.T, h *Hub, person string) (still func() error) {
	t.Helper()
	token, err := h.payers.EnrolPayer(t.Context(), person)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := h.payers.OpenEnrolment(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.payers.Session(t.Context(), "enrol", secret, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.payers.NewRecoveryCodes(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return func() error { _, err := h.payers.Refreshed(t.Context(), s); return err }
}
