package vop

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/psd2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a sandbox behind a real server and a client that believes its key.
type world struct {
	t      *testing.T
	bank   *sandbox.Sandbox
	server *httptest.Server
	log    bytes.Buffer
	config Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	var err error
	if w.bank, err = sandbox.Open(sandbox.Config{}, sandbox.Options{}); err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(w.bank.Handler())
	t.Cleanup(func() {
		w.server.Close()
		if err := w.bank.Close(); err != nil {
			t.Error(err)
		}
	})
	res, err := w.server.Client().Get(w.server.URL + "/sandbox/h2h/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	keys, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.jwks")
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	w.config = Config{BaseURL: w.server.URL, AnswerKeysFile: file, InsecureLoopback: true, RequestingBIC: "RLTODEFFXXX"}
	return w
}

func (w *world) client(change ...func(*Config)) *Client {
	w.t.Helper()
	c := w.config
	for _, f := range change {
		f(&c)
	}
	client, err := New(c, banks.Deps{Log: slog.New(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

func (w *world) turn(switches map[string]any) {
	w.t.Helper()
	raw, err := json.Marshal(switches)
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := w.server.Client().Post(w.server.URL+"/sandbox/vop/switches", "application/json", bytes.NewReader(raw))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		w.t.Fatalf("switches: %s", res.Status)
	}
}

func (w *world) iban(user string) psd2.IBAN {
	for _, p := range w.bank.Personas("sandbank") {
		if p.User == user {
			return psd2.IBAN(p.Accounts[0].IBAN)
		}
	}
	panic("no such persona")
}

// TestAnswers: the personas' accounts answer each of the four codes, and the
// holder's name comes with a close match alone.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	for name, row := range map[string]struct {
		payee psd2.Party
		match psd2.Match
		shown string
	}{
		"match":            {psd2.Party{Name: "Anna Beispiel", IBAN: w.iban("anna")}, psd2.MatchExact, ""},
		"other order":      {psd2.Party{Name: "BEISPIEL, Anna", IBAN: w.iban("anna")}, psd2.MatchExact, ""},
		"close":            {psd2.Party{Name: "A. Beispiel", IBAN: w.iban("anna")}, psd2.MatchClose, "Anna Beispiel"},
		"somebody else":    {psd2.Party{Name: "Hanna", IBAN: w.iban("hanna")}, psd2.MatchNone, ""},
		"surname alone":    {psd2.Party{Name: "Beispiel", IBAN: w.iban("anna")}, psd2.MatchNone, ""},
		"no such account":  {psd2.Party{Name: "Anna Beispiel", IBAN: "DE89370400440532013000"}, psd2.MatchNotPossible, ""},
		"bank's own money": {psd2.Party{Name: "Sandbank", IBAN: "DE41900100000000000000"}, psd2.MatchNotPossible, ""},
	} {
		r, err := c.Verify(t.Context(), row.payee)
		if err != nil || r.Match != row.match || r.MatchedName != row.shown || r.CheckedAt.IsZero() {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

// TestFailureIsNotPossible: whatever goes wrong, the answer is NOAP with its
// cause, and neither name nor account is in the log or the error.
func TestFailureIsNotPossible(t *testing.T) {
	w := newWorld(t)
	payee := psd2.Party{Name: "Anna Beispiel", IBAN: w.iban("anna")}
	for name, row := range map[string]struct {
		turn map[string]any
		code string
	}{
		"down":        {map[string]any{"down": true}, "SIGNATURE_INVALID"}, // not even that is signed
		"garbage":     {map[string]any{"garbage": 1, "down": false}, "SIGNATURE_INVALID"},
		"forged":      {map[string]any{"forge_signature": 1}, "SIGNATURE_INVALID"},
		"close, bare": {map[string]any{"answer": "CMTC", "nameless": true}, "ANSWER_UNREADABLE"},
		"silent":      {map[string]any{"silent": true, "answer": "", "nameless": false}, ""},
	} {
		w.turn(row.turn)
		var short []func(*Config)
		if name == "silent" { // the others answer, and may take their time
			short = append(short, func(c *Config) { c.Limit = 100 * time.Millisecond })
		}
		start := time.Now()
		r, err := w.client(short...).Verify(t.Context(), payee)
		var e *banks.Error
		if !errors.As(err, &e) || e.Code != row.code || r.Match != psd2.MatchNotPossible || r.MatchedName != "" || r.CheckedAt.IsZero() {
			t.Errorf("%s: %+v %v", name, r, err)
		}
		if time.Since(start) > 3*time.Second {
			t.Errorf("%s: took %s", name, time.Since(start))
		}
		w.turn(map[string]any{"down": false, "silent": false, "answer": "", "nameless": false})
	}
	closed := w.client(func(c *Config) { c.BaseURL = "http://127.0.0.1:1" })
	if r, err := closed.Verify(t.Context(), payee); err == nil || r.Match != psd2.MatchNotPossible {
		t.Errorf("nobody there: %+v %v", r, err)
	}
	for _, odd := range []psd2.Party{{Name: "Anna", IBAN: "DE00"}, {IBAN: payee.IBAN}, {Name: "Anna\u202e", IBAN: payee.IBAN}} {
		if r, err := w.client().Verify(t.Context(), odd); err == nil || r.Match != psd2.MatchNotPossible {
			t.Errorf("%+v: %+v %v", odd, r, err)
		}
	}
	if said := w.log.String(); said == "" || strings.Contains(said, "Beispiel") || strings.Contains(said, string(payee.IBAN)) {
		t.Errorf("the log is empty or says whose account it is: %s", said)
	}
}

// TestOddAnswersAreNotPossible: what is not exactly one of the four answers
// decides nothing.
func TestOddAnswersAreNotPossible(t *testing.T) {
	var body, contentType string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	c, err := New(Config{BaseURL: server.URL, InsecureLoopback: true}, banks.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (psd2.VoPResult, error) {
		return c.Verify(t.Context(), psd2.Party{Name: "Anna", IBAN: "DE89370400440532013000"})
	}
	contentType = "application/json"
	for text, want := range map[string]psd2.Match{
		`{"partyNameMatch":"MTCH"}`:                                                  psd2.MatchExact,
		`{"partyNameMatch":"MTCH","matchedName":"Bob","more":1}`:                     psd2.MatchExact,
		`{"partyNameMatch":"CMTC","matchedName":"Anne"}`:                             psd2.MatchClose,
		`{"partyNameMatch":"CMTC","matchedName":" "}`:                                psd2.MatchNotPossible,
		`{"partyNameMatch":"CMTC","matchedName":"A\u202eB"}`:                         psd2.MatchNotPossible,
		`{"partyNameMatch":"CMTC","matchedName":"` + strings.Repeat("x", 141) + `"}`: psd2.MatchNotPossible,
		`{"partyNameMatch":"mtch"}`:                                                  psd2.MatchNotPossible,
		`{"partyNameMatch":"NMTC","partyNameMatch":"MTCH"}`:                          psd2.MatchNotPossible,
		`{"partyNameMatch":["MTCH"]}`:                                                psd2.MatchNotPossible,
		`{"PartyNameMatch":"MTCH"}`:                                                  psd2.MatchNotPossible,
		`{}`:                                                                         psd2.MatchNotPossible, `null`: psd2.MatchNotPossible, ``: psd2.MatchNotPossible, `{"partyNameMatch":"MTCH"}x`: psd2.MatchNotPossible,
	} {
		body = text
		r, err := ask()
		if r.Match != want || (err != nil) != (want == psd2.MatchNotPossible) || (r.MatchedName != "") != (want == psd2.MatchClose) {
			t.Errorf("%s: %+v %v", text, r, err)
		}
	}
	body = `{"partyNameMatch":"MTCH"}`
	for _, contentType = range []string{"text/html", "", "application/problem+json"} {
		if r, err := ask(); err == nil || r.Match != psd2.MatchNotPossible {
			t.Errorf("%q: %+v", contentType, r)
		}
	}
	contentType = "application/json"
	for _, status = range []int{201, 302, 400, 404, 500} {
		if r, err := ask(); err == nil || r.Match != psd2.MatchNotPossible {
			t.Errorf("%d: %+v", status, r)
		}
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	_, err := New(Config{BaseURL: "http://bank.example", RequestingBIC: "x", Limit: -1, AnswerKeysFile: "missing"}, banks.Deps{})
	for _, want := range []string{"base_url", "requesting_bic", "negative", "counterpart's keys"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
