package berlingroup

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
)

// TestRecordedBankCanBeKeptAsATest records a bank's answers and asks the
// recording the same: it says the same, and names nobody.
func TestRecordedBankCanBeKeptAsATest(t *testing.T) {
	s := newSandbox(t)
	var tape bytes.Buffer
	c := s.profile()
	c.BaseURL = s.server.URL + "/sandbank"
	customer := s.customer(t, "sandbank")
	recorder := bankstest.NewRecorder(&tape, customer.User)
	b, err := New("sandbank", c, banks.Deps{Wrap: recorder.Wrap})
	if err != nil {
		t.Fatal(err)
	}
	o := order(psd2.Euro(4200))
	in, err := b.Initiate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.trial("sandbank").Walk(t.Context(), customer, in, psu.Wish{}); err != nil {
		t.Fatal(err)
	}
	ref := func(in banks.Initiation) banks.Ref {
		return banks.Ref{EndToEndID: o.EndToEndID, RequestID: uuid.NewString(), State: in.State, PSU: o.PSU}
	}
	live, err := b.Status(t.Context(), ref(in))
	if err != nil || recorder.Err() != nil {
		t.Fatal(err, recorder.Err())
	}
	for _, secret := range []string{string(live.Payer.IBAN), live.Payer.Name, string(o.Creditor.IBAN), o.Creditor.Name, o.Remittance} {
		if secret == "" || strings.Contains(tape.String(), secret) {
			t.Errorf("the recording holds %q", secret)
		}
	}
	file := filepath.Join(t.TempDir(), "sandbank.jsonl")
	if err := os.WriteFile(file, tape.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	replay, err := bankstest.LoadReplay(file)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(replay)
	t.Cleanup(server.Close)
	c.BaseURL = server.URL + "/sandbank"
	kept, err := New("sandbank", c, banks.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	o.Creditor.IBAN = psd2.IBAN(recorder.Placeholder(string(o.Creditor.IBAN)))
	again, err := kept.Initiate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if again.Prompt.RedirectURL != in.Prompt.RedirectURL || again.Status != in.Status {
		t.Fatalf("replayed %+v, recorded %+v", again, in)
	}
	got, err := kept.Status(t.Context(), ref(again))
	if got.Transaction != live.Transaction || got.SCA != live.SCA {
		t.Fatalf("replayed %+v %v, recorded %+v (odd: %v)", got, err, live, replay.Odd())
	}
}
