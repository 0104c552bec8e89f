package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/sca"
)

func TestUsersAreAddedChangedAndReset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := write(t, dir, "rialto.yaml", "data_dir: "+dir+"\nsandbox: true\n")
	var u userView
	oneDocument(t, must(t, "users", "add", "--config", config, "--json", "--login", "olga", "--name", "Olga Operator", "--role", "operator", "--origin", "https://ops.example"), &u)
	if !strings.HasPrefix(u.Link, "https://ops.example/sca/enrol/") || u.Roles[0] != "operator" || !u.Active {
		t.Errorf("%+v", u)
	}
	first := u.Link
	oneDocument(t, must(t, "users", "reset", "--config", config, "--json", "--login", "OLGA"), &u)
	if u.Link == "" || u.Link == first {
		t.Errorf("%+v", u)
	}
	var changed userView
	oneDocument(t, must(t, "users", "role", "--config", config, "--json", "--login", "olga", "--role", "officer", "--role", "auditor"), &changed)
	if strings.Join(changed.Roles, " ") != "auditor officer" || changed.Link != "" {
		t.Errorf("%+v", changed)
	}
	if out := must(t, "users", "list", "--config", config); !strings.Contains(out, "Olga Operator") || !strings.Contains(out, "auditor officer") {
		t.Errorf("%s", out)
	}
	for _, args := range [][]string{{"users"}, {"users", "sack"}, {"users", "add", "--config", config}, {"users", "role", "--config", config}} {
		if code, _, _ := rialto(t, args...); code != 2 {
			t.Errorf("%v: exit %d", args, code)
		}
	}
	for _, args := range [][]string{
		{"users", "add", "--config", config, "--login", "Olga", "--name", "Another", "--role", "operator"},
		{"users", "role", "--config", config, "--login", "nobody", "--role", "operator"},
		{"users", "role", "--config", config, "--login", "olga", "--role", "root"},
	} {
		if code, _, _ := rialto(t, args...); code != 1 {
			t.Errorf("%v: exit %d", args, code)
		}
	}
}

// TestRolesAreTheConfigurations: what a role may do stands there; one that does not
// is answered with those that do.
func TestRolesAreTheConfigurations(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := write(t, dir, "rialto.yaml", "data_dir: "+dir+"\nsandbox: true\nstaff: {roles: {clerk: [\"payments:read\"], chief: [\"desk:mlro\", \"outcomes:decide\"]}}\n")
	add := func(role string) (int, string) {
		code, _, err := rialto(t, "users", "add", "--config", config, "--login", role, "--name", "Somebody", "--role", role)
		return code, err
	}
	for role, want := range map[string]int{"clerk": 0, "chief": 0, "operator": 1} {
		if code, text := add(role); code != want || want == 1 && !strings.Contains(text, `no role "operator", only chief, clerk`) {
			t.Errorf("%s: exit %d %s", role, code, text)
		}
	}
	wrong := write(t, dir, "wrong.yaml", "data_dir: "+dir+"\nstaff: {roles: {clerk: [\"payments:reed\"]}}\n")
	if code, _, text := rialto(t, "serve", "--config", wrong); code == 0 || !strings.Contains(text, `no right "payments:reed"`) {
		t.Errorf("serving with a right that no page knows: exit %d %s", code, text)
	}
}

// receiptFiles makes a receipt of a payment confirmed by code, and the keys.
func receiptFiles(t *testing.T) (receipt, keys string) {
	t.Helper()
	clock := testkit.NewClock()
	signing, err := jose.NewKeySet(rand.Reader, clock.Now(), jose.ES256)
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fail(err)
	service, err := sca.New(sca.Config{Origin: "https://pay.example"}, sca.Deps{Store: testkit.SQLite(t, clock.Now), Now: clock.Now,
		Signer: func(now time.Time) (*jose.Key, error) { return signing.Signer(jose.ES256, now) }})
	fail(err)
	token, err := service.EnrolPayer(t.Context(), "psn_1")
	fail(err)
	secret, err := service.OpenEnrolment(t.Context(), token)
	fail(err)
	by, err := service.Session(t.Context(), sca.SessionEnrol, secret, false)
	fail(err)
	setup, err := service.BeginTOTP(t.Context(), by, "anna")
	fail(err)
	code, err := totp.GenerateCode(setup.Key, clock.Now())
	fail(err)
	fail(service.ConfirmTOTP(t.Context(), by, setup.FactorID, code, "App"))
	clock.Add(31 * time.Second)
	c, err := service.Begin(t.Context(), sca.BeginRequest{PersonID: "psn_1", Level: sca.Any, Session: "browser", Language: "en", Linked: sca.Linked{PaymentID: "pay_1",
		Amount: psd2.Euro(2500), CreditorName: "Casino Example Ltd", CreditorIBAN: "MT84MALT011000012345MTLCAST001S", DebtorRef: "Deposit 1"}})
	fail(err)
	code, err = totp.GenerateCode(setup.Key, clock.Now())
	fail(err)
	_, err = service.Answer(t.Context(), c.ID, sca.Answer{Session: "browser", Method: sca.TOTP, Code: code})
	fail(err)
	jws, err := service.Receipt(t.Context(), "pay_1")
	fail(err)
	jwks, err := service.ReceiptKeys(t.Context())
	fail(err)
	dir := t.TempDir()
	return write(t, dir, "receipt.jws", jws+"\n"), write(t, dir, "jwks.json", string(jwks))
}

func TestReceiptsAreVerifiedFromFiles(t *testing.T) {
	t.Parallel()
	receipt, keys := receiptFiles(t)
	var v receiptVerdict
	oneDocument(t, must(t, "verify", "receipt", "--jwks", keys, "--json", receipt), &v)
	if !v.Valid || v.PaymentID != "pay_1" || !strings.Contains(v.Shown, "EUR 25.00") {
		t.Errorf("%+v", v)
	}
	if out := must(t, "verify", "receipt", "--jwks", keys, receipt); !strings.Contains(out, "genuine: confirmed with totp") {
		t.Errorf("%s", out)
	}
	text, err := os.ReadFile(receipt)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	forged := write(t, filepath.Dir(receipt), "forged.jws", string(text))
	if code, out, _ := rialto(t, "verify", "receipt", "--jwks", keys, forged); code != 1 || !strings.Contains(out, "not genuine") {
		t.Errorf("a forged receipt: exit %d, %s", code, out)
	}
	if code, _, _ := rialto(t, "verify", "receipt", receipt); code != 2 {
		t.Errorf("without keys: exit %d", code)
	}
}
