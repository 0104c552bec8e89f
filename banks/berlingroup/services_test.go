package berlingroup

import (
	"encoding/xml"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestCancellationThePayerAuthorises: implicitly, explicitly, in the app; or
// not at all.
func TestCancellationThePayerAuthorises(t *testing.T) {
	const sub = payment + "/cancellation-authorisations"
	accepted := func(links ...string) func(http.ResponseWriter) {
		return says(202, `{"transactionStatus":"ACTC","_links":{`+strings.Join(links, ",")+`}}`, "X-Request-ID", uuid.NewString())
	}
	started := func(more string, links ...string) func(http.ResponseWriter) {
		return step(201, "received", more, links...)
	}
	for name, c := range map[string]struct {
		answer, started func(http.ResponseWriter)
		want            psd2.PromptKind
		requests        int
		done            bool
	}{
		"at once":            {answer: says(204, ``, "X-Request-ID", uuid.NewString()), done: true, requests: 1},
		"redirect":           {answer: accepted(href("scaRedirect", "https://login.bank.example/cancel")), want: psd2.PromptRedirect, requests: 1},
		"explicit":           {answer: accepted(href("startAuthorisation", sub)), started: started("", href("scaRedirect", "https://login.bank.example/cancel")), want: psd2.PromptRedirect, requests: 2},
		"app":                {answer: accepted(href("startAuthorisation", sub)), started: started(`,"psuMessage":"Cancel?"`), want: psd2.PromptApp, requests: 2},
		"password":           {answer: accepted(href("startAuthorisationWithPsuAuthentication", sub)), requests: 1},
		"elsewhere":          {answer: accepted(href("scaRedirect", "https://evil.example/")), requests: 1},
		"start elsewhere":    {answer: accepted(href("startAuthorisation", "https://evil.example/")), requests: 1},
		"start fails":        {answer: accepted(href("startAuthorisation", sub)), started: says(500, ``), requests: 2},
		"nothing to be read": {answer: says(202, `{"transactionStatus":"ACTC"}`, "X-Request-ID", uuid.NewString()), requests: 1},
	} {
		s := newStub(t)
		s.answers[post] = created("", href("scaRedirect", "https://login.bank.example/sca"))
		open := s.judged
		if name == "start fails" {
			open = s.bank
		}
		b := open(t, func(c *Config) { c.Approaches = []banks.Approach{banks.Redirect, banks.Decoupled} })
		o := order(psd2.Euro(2500))
		in, err := b.Initiate(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		s.seen = nil
		s.answers["DELETE /p1"], s.answers["POST /cancellation-authorisations"] = c.answer, c.started
		got, err := b.Cancel(t.Context(), refOf(o, in))
		if err != nil || got.Done != c.done || got.Prompt.Kind != c.want || len(s.seen) != c.requests || s.creations() != 0 {
			t.Errorf("%s: %+v %v after %v", name, got, err, s.requests())
		}
		if s.seen[0].Header.Get("TPP-Redirect-URI") != o.ReturnURL || got.State != nil {
			t.Errorf("%s: %v %s", name, s.seen[0].Header, got.State)
		}
	}
}

func TestFundsConfirmation(t *testing.T) {
	s := newStub(t)
	b := s.judged(t, func(c *Config) { c.FundsConfirmation = true })
	ref := banks.Ref{RequestID: uuid.NewString()}
	for _, c := range []struct {
		status int
		body   string
		want   bool
		kind   banks.Kind
	}{
		{200, `{"fundsAvailable":true}`, true, ""},
		{200, `{"fundsAvailable":false}`, false, ""},
		{400, `{"tppMessages":[{"category":"ERROR","code":"NO_PIIS_ACTIVATION"}]}`, false, banks.BadRequest},
		{503, `{"tppMessages":[{"category":"ERROR","code":"SERVICE_UNAVAILABLE"}]}`, false, banks.Unavailable},
	} {
		s.answers["POST /funds-confirmations"] = says(c.status, c.body, "X-Request-ID", uuid.NewString())
		if c.status != 200 {
			b = s.bank(t, func(c *Config) { c.FundsConfirmation = true })
		}
		s.bodies = nil
		got, err := b.FundsAvailable(t.Context(), ref, "DE02120300000000202051", psd2.Euro(2500))
		if got != c.want || kindOf(err) != c.kind || s.bodies[0] != `{"account":{"iban":"DE02120300000000202051"},"instructedAmount":{"currency":"EUR","amount":"25.00"}}` {
			t.Errorf("%d %s: %v %v %s", c.status, c.body, got, err, s.bodies)
		}
	}
	for _, odd := range []string{`{}`, `{"fundsAvailable":"true"}`, `{"fundsAvailable":null}`, `[]`} { // a yes must be a yes
		s.answers["POST /funds-confirmations"] = says(200, odd)
		if got, err := b.FundsAvailable(t.Context(), ref, "DE02120300000000202051", psd2.Euro(2500)); got || kindOf(err) != banks.Uncertain {
			t.Errorf("%s: %v %v", odd, got, err)
		}
	}
	s.seen = nil
	if _, err := s.bank(t, nil).FundsAvailable(t.Context(), ref, "DE02120300000000202051", psd2.Euro(2500)); kindOf(err) != banks.BadRequest || len(s.seen) != 0 {
		t.Errorf("a bank that does not offer it was asked: %v", err)
	}
	if _, err := b.FundsAvailable(t.Context(), ref, "DE1", psd2.Euro(2500)); kindOf(err) != banks.BadRequest {
		t.Error(err)
	}
}

const painProduct = "pain.001-instant-sepa-credit-transfers"

// TestXMLProduct: the order as pain.001, its status as pain.002, the payment
// as pain.001; or all of it in JSON.
func TestXMLProduct(t *testing.T) {
	s := newStub(t)
	own := strings.Replace(payment, "/instant-", "/pain.001-instant-", 1)
	s.answers["POST /"+painProduct] = says(201, `{"transactionStatus":"RCVD","paymentId":"p1","_links":{`+href("scaRedirect", "https://login.bank.example/x")+`}}`,
		"Location", own, "X-Request-ID", uuid.NewString())
	b := s.judged(t, func(c *Config) { c.Product, c.InitiatingParty = painProduct, "Rialto Pay" })
	if !b.Info().DebtorMandatory {
		t.Error("pain.001 cannot do without the payer's account")
	}
	o := order(psd2.Euro(2500))
	o.Creditor.Name = "Zürcher Spielbank"
	if _, err := b.Initiate(t.Context(), o); kindOf(err) != banks.BadRequest || len(s.seen) != 0 {
		t.Errorf("without debtor: %v", err)
	}
	o.Debtor = "DE02120300000000202051"
	in, err := b.Initiate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if s.seen[0].Header.Get("Content-Type") != "application/xml" || s.bodies[0][:5] != "<?xml" {
		t.Errorf("%s", s.seen[0].Header)
	}
	valid(t, s.bodies[0])
	m, err := iso20022.ReadAs[*iso20022.Initiation]([]byte(s.bodies[0]), iso20022.Strict)
	if err != nil {
		t.Fatal(err)
	}
	batch := m.Batches[0]
	if got := batch.Orders[0]; m.Initiator.Name != "Rialto Pay" || batch.DebtorAccount != o.Debtor || got.EndToEndID != o.EndToEndID || got.Amount != o.Amount ||
		got.CreditorAccount != o.Creditor.IBAN || got.Creditor.Name != "Zurcher Spielbank" || got.Remittance.Text != o.Remittance {
		t.Errorf("%+v", batch)
	}
	xmlSays := func(body string) func(http.ResponseWriter) {
		return says(200, body, "Content-Type", "application/xml", "X-Request-ID", uuid.NewString())
	}
	report := func(status, reason string) string {
		m := &iso20022.InitiationStatus{MessageID: "R1", CreatedAt: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
			Group:   iso20022.GroupStatus{Original: iso20022.Original{MessageID: o.EndToEndID, Message: "pain.001.001.09"}},
			Batches: []iso20022.BatchStatus{{OriginalID: o.EndToEndID, Transactions: []iso20022.TransactionStatus{{EndToEndID: o.EndToEndID, Status: status}}}}}
		if reason != "" {
			m.Batches[0].Transactions[0].Reasons = []iso20022.Reason{{Code: reason}}
		}
		out, err := iso20022.Write(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	lenient := s.bank(t, func(c *Config) { c.Product, c.InitiatingParty = painProduct, "Rialto Pay" })
	s.answers["GET /status"] = xmlSays(report("RJCT", "AM04"))
	if st, err := lenient.Status(t.Context(), refOf(o, in)); err != nil || st.Transaction != "RJCT" || st.Reason != "AM04" {
		t.Errorf("%+v %v", st, err)
	}
	s.answers["GET /status"], s.answers["GET /p1"] = xmlSays(report("ACSC", "")), xmlSays(s.bodies[0])
	if st, err := lenient.Status(t.Context(), refOf(o, in)); err != nil || st.Transaction != "ACSC" || st.Payer.IBAN != o.Debtor || st.Payer.Name != "" {
		t.Errorf("%+v %v", st, err)
	}
	s.answers["GET /p1"] = xmlSays(strings.Replace(s.bodies[0], ">25.00<", ">26.00<", -1)) // C36
	if _, err := lenient.Status(t.Context(), refOf(o, in)); kindOf(err) != banks.Uncertain {
		t.Errorf("another amount is believed: %v", err)
	}
	for name, body := range map[string]string{
		"doctype": strings.Replace(report("ACSC", ""), "<Document", "<!DOCTYPE d><Document", 1), // C28
		"twice":   strings.Replace(report("ACSC", ""), "<TxSts>ACSC</TxSts>", "<TxSts>RJCT</TxSts><TxSts>ACSC</TxSts>", 1),
		"not xml": "ACSC", "other": s.bodies[0], "namespace": strings.Replace(report("ACSC", ""), "urn:iso", "urn:evil", 1),
	} {
		s.answers["GET /status"] = xmlSays(body)
		if st, err := lenient.Status(t.Context(), refOf(o, in)); kindOf(err) != banks.Uncertain || st.Transaction != "" {
			t.Errorf("%s: %+v %v", name, st, err)
		}
	}
}

// valid holds an order against the official schema.
func valid(t *testing.T, body string) {
	t.Helper()
	if xml.Unmarshal([]byte(body), new(struct{ XMLName xml.Name })) != nil {
		t.Error("not well-formed")
	}
	tool, xsd := testkit.Tool(t, "xmllint"), testkit.Standard(t, "iso20022-xsd/pain.001.001.09.xsd")
	file := filepath.Join(t.TempDir(), "order.xml")
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), tool, "--noout", "--schema", xsd, file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestQuirksAreData(t *testing.T) {
	s := newStub(t)
	s.accepts("")
	b := s.bank(t, func(c *Config) {
		c.RejectNoFunds, c.StatusAliases = true, map[string]string{"ACTV": "ACTC"}
		c.PSUIDType, c.Approaches = "RETAIL", []banks.Approach{banks.Redirect, banks.Embedded}
	})
	o := order(psd2.Euro(100))
	o.PSU.ID, o.NotifyURL = "paula", "https://pay.example/notify/1"
	in, err := b.Initiate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"TPP-Rejection-NoFunds-Preferred": "true", "PSU-ID": "paula", "PSU-ID-Type": "RETAIL", "TPP-Notification-URI": "", "TPP-Decoupled-Preferred": ""} {
		if got := s.seen[0].Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	s.answers["GET /status"] = says(200, `{"transactionStatus":"ACTV"}`)
	if st, err := b.Status(t.Context(), refOf(o, in)); err != nil || st.Transaction != "ACTC" {
		t.Errorf("%+v %v", st, err)
	}
	for name, spoil := range map[string]func(*banks.Order){
		"PSU-ID no header can hold": func(o *banks.Order) { o.PSU.ID = "pau\r\nX-Evil: 1" },
		"PSU-ID in another script":  func(o *banks.Order) { o.PSU.ID = "pаula" }, // a Cyrillic letter: it would become somebody else's name
		"notify":                    func(o *banks.Order) { o.NotifyURL = "javascript:x" },
	} {
		s.seen = nil
		o := order(psd2.Euro(100))
		spoil(&o)
		var e *banks.Error
		if _, err := b.Initiate(t.Context(), o); !errors.As(err, &e) || e.Kind != banks.BadRequest || len(s.seen) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
