package sctinst

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/cmd/rialto/devtls"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// hostile is a bank whose signing key is right and whose answers are what a
// test wants: what the signature proves is who says it, not that it is sound.
type hostile struct {
	t      *testing.T
	w      *world
	keys   *jose.KeySet
	answer func(good string) (status int, body string)
	sign   func(r *http.Request, status int, body []byte) string
	calls  int
}

func newHostile(t *testing.T) (*hostile, *Channel) {
	t.Helper()
	h := &hostile{t: t, w: newWorld(t)}
	var err error
	if h.keys, err = jose.NewKeySet(rand.Reader, h.w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	public, err := h.keys.PublicJWKS(h.w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bank.jwks")
	if err := os.WriteFile(file, public, 0o600); err != nil {
		t.Fatal(err)
	}
	return h, h.w.channel(func(c *Config) { c.BaseURL, c.BankKeysFile = server.URL, file })
}

// good is the answer to a payment.
const good = `<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>` +
	`<GrpHdr><MsgId>S1</MsgId><CreDtTm>2026-11-20T10:00:00Z</CreDtTm></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>MSGID</OrgnlMsgId>` +
	`<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId></OrgnlGrpInfAndSts><OrgnlPmtInfAndSts><OrgnlPmtInfId>MSGID</OrgnlPmtInfId>` +
	`<TxInfAndSts><OrgnlEndToEndId>E2EID</OrgnlEndToEndId><TxSts>ACSC</TxSts></TxInfAndSts></OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>`

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.calls++
	message, _ := io.ReadAll(r.Body)
	status, body := h.answer(good)
	body = strings.NewReplacer("MSGID", between(string(message), "<MsgId>"), "E2EID", between(string(message), "<EndToEndId>")).Replace(body)
	sign := h.sign
	if sign == nil {
		sign = func(r *http.Request, status int, body []byte) string {
			return h.signature(courier.AnswerBytes(status, r.Header.Get("X-Request-ID"), body))
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set(courier.HeaderSignature, sign(r, status, []byte(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (h *hostile) signature(payload []byte) string {
	key, err := h.keys.Signer(jose.ES256, h.w.clock.Now())
	if err != nil {
		h.t.Error(err)
	}
	s, err := jose.SignDetached(key, payload, h.w.clock.Now())
	if err != nil {
		h.t.Error(err)
	}
	return s
}

func between(s, tag string) string {
	_, rest, _ := strings.Cut(s, tag)
	value, _, _ := strings.Cut(rest, "<")
	return value
}

// TestHostileMessages. C28, C29: a message that could mean two things, or does
// things no payment message needs, decides nothing, although it is signed.
func TestHostileMessages(t *testing.T) {
	h, c := newHostile(t)
	swap := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	for name, row := range map[string]struct {
		body, status string
	}{
		"good":               {good, "ACSC"},
		"unknown element":    {swap("<TxSts>", "<BkRmrk>x</BkRmrk><TxSts>"), "ACSC"},
		"C28 doctype":        {swap("<Document", "<!DOCTYPE Document><Document"), ""},
		"C28 entity":         {swap("<Document", `<!DOCTYPE d [<!ENTITY s "ACSC">]><Document`), ""},
		"C28 external":       {swap("<Document", `<!DOCTYPE d SYSTEM "file:///etc/passwd"><Document`), ""},
		"C29 two statuses":   {swap("<TxSts>ACSC</TxSts>", "<TxSts>RJCT</TxSts><TxSts>ACSC</TxSts>"), ""},
		"C29 two references": {swap("<OrgnlEndToEndId>E2EID</OrgnlEndToEndId>", "<OrgnlEndToEndId>X</OrgnlEndToEndId><OrgnlEndToEndId>E2EID</OrgnlEndToEndId>"), ""},
		"C29 namespace":      {swap("<TxSts>", `<TxSts xmlns="urn:other">`), ""},
		"C29 second root":    {good + good[strings.Index(good, "<Document"):], ""},
		"C29 trailing text":  {good + "RJCT", ""},
		"C29 comment":        {swap("ACSC", "AC<!-- -->SC"), ""},
		"C29 cdata":          {swap("ACSC", "<![CDATA[ACSC]]>"), ""},
		"C29 deep":           {swap("<TxSts>", strings.Repeat("<a>", 200_000)+strings.Repeat("</a>", 200_000)+"<TxSts>"), ""},
		"another message":    {swap("<OrgnlMsgId>MSGID", "<OrgnlMsgId>OTHER"), ""},
		"another order":      {swap("<OrgnlEndToEndId>E2EID", "<OrgnlEndToEndId>OTHER"), ""},
		"no status":          {swap("<TxSts>ACSC</TxSts>", ""), ""},
		"pacs.002 instead":   {strings.ReplaceAll(good, "pain.002.001.10", "pacs.002.001.10"), ""},
	} {
		h.answer = func(string) (int, string) { return 200, row.body }
		s, err := c.Pay(t.Context(), h.w.transfer(100))
		if s.Status != row.status || (err == nil) != (row.status != "") || err != nil && kind(err) != banks.Uncertain {
			t.Errorf("%s: %+v %v", name, s, err)
		}
	}
	h.answer = func(string) (int, string) { return 200, swap("ACSC", "DE89370400440532013000") }
	if s, err := c.Pay(t.Context(), h.w.transfer(100)); err != nil || s.Status != "?" {
		t.Errorf("a code that is none: %+v %v", s, err)
	}
}

// TestSignatureMustCoverWhatIsRead. C30: there is no part of an answer that is
// read and not signed; a signature over something else is none.
func TestSignatureMustCoverWhatIsRead(t *testing.T) {
	h, c := newHostile(t)
	h.answer = func(good string) (int, string) { return 200, good }
	for name, payload := range map[string]func(id string, body []byte) []byte{
		"body alone":      func(_ string, body []byte) []byte { return body },
		"another request": func(_ string, body []byte) []byte { return courier.AnswerBytes(200, newUUID(), body) },
		"another status":  func(id string, body []byte) []byte { return courier.AnswerBytes(202, id, body) },
		"a part of it":    func(id string, body []byte) []byte { return courier.AnswerBytes(200, id, body[:len(body)-1]) },
		"nothing":         func(id string, _ []byte) []byte { return courier.AnswerBytes(200, id, nil) },
	} {
		h.sign = func(r *http.Request, _ int, body []byte) string {
			return h.signature(payload(r.Header.Get("X-Request-ID"), body))
		}
		if s, err := c.Pay(t.Context(), h.w.transfer(100)); kind(err) != banks.Uncertain || s.Status != "" {
			t.Errorf("%s: %+v %v", name, s, err)
		}
	}
}

// TestSignedRefusals: what a status means is believed only when it is signed.
func TestSignedRefusals(t *testing.T) {
	h, c := newHostile(t)
	for status, want := range map[int]banks.Kind{400: banks.BadRequest, 401: banks.BadRequest, 404: banks.NotFound, 408: banks.Uncertain, 409: banks.Uncertain,
		429: banks.Unavailable, 500: banks.Uncertain, 502: banks.Uncertain, 503: banks.Unavailable, 302: banks.Uncertain} {
		h.sign, h.answer = nil, func(string) (int, string) { return status, "" }
		if _, err := c.Pay(t.Context(), h.w.transfer(100)); kind(err) != want {
			t.Errorf("%d signed: %v, want %s", status, err, want)
		}
		h.sign = func(*http.Request, int, []byte) string { return "" }
		if _, err := c.Pay(t.Context(), h.w.transfer(100)); kind(err) != banks.Uncertain {
			t.Errorf("%d unsigned: %v", status, err)
		}
	}
}

// entry is a camt.054 of one entry.
func entry(account psd2.IBAN, sequence, inner string) string {
	return `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"><BkToCstmrDbtCdtNtfctn><GrpHdr><MsgId>N</MsgId><CreDtTm>2026-11-20T10:00:00Z</CreDtTm></GrpHdr>` +
		`<Ntfctn><Id>N</Id>` + sequence + `<Acct><Id><IBAN>` + string(account) + `</IBAN></Id></Acct>` + inner + `</Ntfctn></BkToCstmrDbtCdtNtfctn></Document>`
}

// TestUnreadableBookingsStopTheCursor: an entry that cannot be read is not
// skipped, and another account's entries are not ours.
func TestUnreadableBookingsStopTheCursor(t *testing.T) {
	h, c := newHostile(t)
	const line = `<Ntry><Amt Ccy="EUR">5.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-20</Dt></BookgDt><AcctSvcrRef>A1</AcctSvcrRef><BkTxCd/></Ntry>`
	const two = `<NtryDtls><TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs><Amt Ccy="EUR">2.00</Amt></TxDtls><TxDtls><Refs><EndToEndId>E2</EndToEndId></Refs><Amt Ccy="EUR">3.00</Amt></TxDtls></NtryDtls></Ntry>`
	own, seq := c.ChannelInfo().Account.IBAN, "<ElctrncSeqNb>7</ElctrncSeqNb>"
	for name, row := range map[string]struct {
		body string
		n    int // bookings; -1: refused
	}{
		"good":              {entry(own, seq, line), 1},
		"two in one":        {entry(own, seq, strings.Replace(line, "</Ntry>", two, 1)), 2},
		"pending":           {entry(own, seq, strings.Replace(line, "BOOK", "PDNG", 1)), 0},
		"no own reference":  {entry(own, seq, strings.Replace(line, "<AcctSvcrRef>A1</AcctSvcrRef>", "", 1)), 1},
		"another account":   {entry("DE89370400440532013000", seq, line), -1},
		"no sequence":       {entry(own, "", line), -1},
		"backwards":         {entry(own, "<ElctrncSeqNb>4</ElctrncSeqNb>", line), -1},
		"no amount":         {entry(own, seq, strings.Replace(line, `<Amt Ccy="EUR">5.00</Amt>`, "", 1)), -1},
		"no direction":      {entry(own, seq, strings.Replace(line, `<CdtDbtInd>CRDT</CdtDbtInd>`, "", 1)), -1},
		"no day":            {entry(own, seq, strings.Replace(line, `<BookgDt><Dt>2026-11-20</Dt></BookgDt>`, "", 1)), -1},
		"does not add up":   {entry(own, seq, strings.Replace(line, "</Ntry>", strings.Replace(two, "3.00", "3.01", 1), 1)), -1},
		"three decimals":    {entry(own, seq, strings.Replace(line, "5.00", "5.001", 1)), -1},
		"negative":          {entry(own, seq, strings.Replace(line, "5.00", "-5.00", 1)), -1},
		"statement instead": {strings.ReplaceAll(entry(own, seq, line), "camt.054.001.08", "camt.053.001.08"), -1},
	} {
		h.answer = func(string) (int, string) { return 200, row.body }
		list, next, err := c.Bookings(t.Context(), "5", 10)
		switch {
		case row.n < 0 && (kind(err) != banks.Uncertain || next != "5"):
			t.Errorf("%s: %+v %q %v", name, list, next, err)
		case row.n >= 0 && (err != nil || len(list) != row.n || next != "7"):
			t.Errorf("%s: %+v %q %v", name, list, next, err)
		}
		ids := map[string]bool{}
		for _, b := range list {
			ids[b.ID] = true
		}
		if len(ids) != len(list) || ids[""] {
			t.Errorf("%s: the ids are %v", name, ids)
		}
	}
	before := h.calls
	if _, _, err := c.Bookings(t.Context(), "' OR 1=1", 10); kind(err) != banks.BadRequest || h.calls != before {
		t.Errorf("a cursor of nobody's: %v", err)
	}
}

// TestChannelWantsItsCertificate: the bank answers only the holder of the
// certificate it knows, over TLS of its own.
func TestChannelWantsItsCertificate(t *testing.T) {
	dir, ca := t.TempDir(), filepath.Join(t.TempDir(), "ca.pem")
	if err := devtls.Write(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "dev-cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	sum := sha256.Sum256(block.Bytes)
	w := newWorldAs(t, func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.TLS, s.Config.ErrorLog = &tls.Config{ClientAuth: tls.RequestClientCert}, log.New(io.Discard, "", 0)
		s.StartTLS()
		return s
	}, map[string]any{"cert_sha256": hex.EncodeToString(sum[:])})
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	order := w.transfer(100)
	without := w.channel(func(c *Config) { c.TLS.CAFile = ca })
	if _, err := without.Pay(t.Context(), order); kind(err) != banks.BadRequest {
		t.Errorf("without a certificate: %v", err)
	}
	w.wantOrders(order.EndToEndID, 0)
	with := w.channel(func(c *Config) {
		c.TLS = courier.TLS{CAFile: ca, CertFile: filepath.Join(dir, "dev-cert.pem"), KeyFile: filepath.Join(dir, "dev-key.pem")}
	})
	w.mustPay(with, order, "ACCC")
	w.wantOrders(order.EndToEndID, 1)
}

// TestAStrangersSignatureIsRefused: the bank takes orders of the registered key
// alone.
func TestAStrangersSignatureIsRefused(t *testing.T) {
	w := newWorld(t)
	stranger, err := jose.NewKeySet(rand.Reader, w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "own.jwks")
	if err := stranger.Save(file); err != nil {
		t.Fatal(err)
	}
	order := w.transfer(100)
	if _, err := w.channel(func(c *Config) { c.SigningKeyFile = file }).Pay(t.Context(), order); kind(err) != banks.BadRequest {
		t.Errorf("%v", err)
	}
	w.wantOrders(order.EndToEndID, 0)
}

// TestProfileSaysWhatIsWrong: all of it at once.
func TestProfileSaysWhatIsWrong(t *testing.T) {
	_, err := New("x", Config{BaseURL: "http://bank.example", Account: Account{Name: "Süß", IBAN: "DE00", BIC: "x"}, Timeout: -1}, banks.Deps{})
	for _, want := range []string{"base_url", "account.iban", "account.bic", "account.name", "signing_key_file", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
