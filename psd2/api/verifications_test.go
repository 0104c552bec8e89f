package api_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/vop"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

var databases = map[string]func(testing.TB, func() time.Time) *store.DB{
	"sqlite": testkit.SQLite,
	"postgres": func(t testing.TB, now func() time.Time) *store.DB {
		return testkit.Open(t, testkit.PostgresConfig(t), now)
	},
}

// bankWorld is the API with a sandbox that verifies payees.
type bankWorld struct {
	*world
	bank *sandbox.Sandbox
	hub  *hub.Hub
}

func newBankWorld(t *testing.T, open func(testing.TB, func() time.Time) *store.DB, l api.Limits) *bankWorld {
	t.Helper()
	b := &bankWorld{}
	var err error
	if b.bank, err = sandbox.Open(sandbox.Config{}, sandbox.Options{}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(b.bank.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := b.bank.Close(); err != nil {
			t.Error(err)
		}
	})
	now := func() time.Time { // the world's, which is made with this client
		if b.world == nil {
			return began
		}
		return b.now()
	}
	client, err := vop.New(vop.Config{BaseURL: server.URL, InsecureLoopback: true}, banks.Deps{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	b.world = newWorldOn(t, open, func(d *api.Deps) {
		b.hub = hub.New(hub.Config{PublicURL: d.PublicURL}, hub.Deps{Store: d.Store, Banks: banks.NewRegistry(nil, nil, d.Now), Now: d.Now, Random: rand.Reader, VoP: client})
		d.Hub, d.Limits.Question = b.hub, l.Question
	})
	return b
}

func (b *bankWorld) iban(user string) string {
	for _, p := range b.bank.Personas("sandbank") {
		if p.User == user {
			return p.Accounts[0].IBAN
		}
	}
	panic("no such persona")
}

func (b *bankWorld) merchantWithAccount(name, iban string) *merchant {
	m := b.merchant("Casino")
	m.Scopes = append(m.Scopes, api.ScopePayoutsWrite)
	m.Accounts[0].Name, m.Accounts[0].IBAN = name, psd2.IBAN(iban)
	m.save()
	return m
}

// ask puts a question with its own Idempotency-Key, or the one given.
func (b *bankWorld) ask(m *merchant, body string, key ...string) *answer {
	b.t.Helper()
	if len(key) == 0 {
		key = []string{rand.Text()}
	}
	req, err := http.NewRequest("POST", b.url+"/v1/payee-verifications", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	signature, err := jose.SignRequest(m.key, "POST", "/v1/payee-verifications", []jose.Header{{Name: "Idempotency-Key", Value: key[0]}}, []byte(body), b.now())
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.token())
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key[0])
	req.Header.Set(jose.HeaderSignature, signature)
	return b.send(req)
}

func draft(name, player, iban string) string {
	body, _ := json.Marshal(map[string]any{"payout_draft": map[string]any{"player": map[string]any{"reference": "player-1", "name": player},
		"payee": map[string]any{"name": name, "iban": iban}}})
	return string(body)
}

func unlimited() api.Limits { return api.Limits{Question: api.Rate{PerSecond: -1}} }

// TestPayeeIsVerified: a player's account and the merchant's own, each answer
// once and kept; somebody else's name cannot be asked about.
func TestPayeeIsVerified(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			b := newBankWorld(t, open, unlimited())
			m := b.merchantWithAccount("Anna Beispil", b.iban("anna"))
			for _, row := range []struct{ body, match, shown string }{
				{draft("Bert Muster", "Bert Muster", b.iban("bert")), "MTCH", ""},
				{draft("Frieda Langsamm", "Frieda Langsamm", b.iban("frieda")), "CMTC", "Frieda Langsam"},
				{draft("Hanna Eigen", "Hanna Eigen", b.iban("hanna")), "NMTC", ""},
				{draft("Anna Beispiel", "Anna Beispiel", "DE89370400440532013000"), "NOAP", ""},
				{`{"payee_account_id":"` + m.Accounts[0].ID + `"}`, "CMTC", "Anna Beispiel"},
			} {
				key := rand.Text()
				first := b.ask(m, row.body, key)
				var got struct {
					Match string
					Name  string `json:"matched_name"`
				}
				if err := json.Unmarshal(first.body, &got); err != nil || first.StatusCode != http.StatusOK || got.Match != row.match || got.Name != row.shown {
					t.Errorf("%s: %d %s", row.body, first.StatusCode, first.body)
				}
				if again := b.ask(m, row.body, key); string(again.body) != string(first.body) || again.Header.Get(api.HeaderReplayed) != "true" {
					t.Errorf("the same request again: %d %s", again.StatusCode, again.body)
				}
			}
			v, ok, err := b.hub.AccountEvidence(t.Context(), m.ID, m.Accounts[0])
			if err != nil || !ok || v.Match != psd2.MatchClose || v.MatchedName != "Anna Beispiel" {
				t.Errorf("the evidence is %+v %v %v", v, ok, err)
			}
			renamed := m.Accounts[0]
			renamed.Name = "Anna Beispiel"
			if _, ok, err := b.hub.AccountEvidence(t.Context(), m.ID, renamed); ok || err != nil {
				t.Errorf("evidence for a name that was never checked: %v", err)
			}
			for _, bad := range []struct{ body, code string }{
				{draft("Anna Beispiel", "Bert Muster", b.iban("anna")), "own_account_required"},
				{draft("Anna Beispiel", "Anna Beispiel", "DE00"), "iban_invalid"},
				{`{}`, "payee_missing"},
				{`{"payee_account_id":"acc_00000000000000000000000000"}`, "payee_account_unknown"},
			} {
				if a := b.ask(m, bad.body); a.code() != bad.code {
					t.Errorf("%s: %s", bad.body, a.body)
				}
			}
		})
	}
}

// TestNamesAreNoOracle: few questions at once for a merchant, and few a day
// about one account, whatever the names.
func TestNamesAreNoOracle(t *testing.T) {
	b := newBankWorld(t, databases["sqlite"], unlimited())
	m := b.merchantWithAccount("Casino", "DE89370400440532013000")
	for i := range 6 {
		a := b.ask(m, draft("Anna Beispiel", "Anna Beispiel", b.iban("anna")))
		if want := map[bool]int{true: http.StatusOK, false: http.StatusTooManyRequests}[i < 5]; a.StatusCode != want {
			t.Errorf("question %d about one account: %d %s", i+1, a.StatusCode, a.body)
		}
	}
	if a := b.ask(m, draft("Bert Muster", "Bert Muster", b.iban("bert"))); a.StatusCode != http.StatusOK {
		t.Errorf("about another account: %s", a.body)
	}
	b.pass(25 * time.Hour)
	if a := b.ask(m, draft("Anna Beispiel", "Anna Beispiel", b.iban("anna"))); a.StatusCode != http.StatusOK {
		t.Errorf("a day later: %s", a.body)
	}
	few := newBankWorld(t, databases["sqlite"], api.Limits{})
	n := few.merchantWithAccount("Casino", "DE89370400440532013000")
	limited := 0
	for range 12 {
		if few.ask(n, `{"payee_account_id":"`+n.Accounts[0].ID+`"}`).StatusCode == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < 7 { // five by the account, two by the merchant's rate
		t.Errorf("%d of 12 were refused", limited)
	}
}
