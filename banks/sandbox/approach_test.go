package sandbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
)

// as adds headers to an order.
func as(pairs ...string) order {
	return order{mutate: func(h http.Header, _ map[string]any) {
		for i := 0; i+1 < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
	}}
}

// ordered posts an order and requires a status.
func (w *world) ordered(bank string, o order, want int) answer {
	w.t.Helper()
	a := w.send(bank, o)
	if a.err != nil || a.status != want {
		w.t.Fatalf("order at %s: %d %v %v, want %d", bank, a.status, a.err, a.body, want)
	}
	return a
}

// step makes one call about an authorisation.
func (w *world) step(method, path string, body any, want int, pairs ...string) answer {
	w.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	a := w.call(method, path, h, raw)
	if a.err != nil || a.status != want {
		w.t.Fatalf("%s %s: %d %v %v, want %d", method, path, a.status, a.err, a.body, want)
	}
	return a
}

func (a answer) link(name string) string { return a.text("_links", name, "href") }

// wantOrder checks an order's status and whether money moved.
func (w *world) wantOrder(a answer, status string, booked bool) {
	w.t.Helper()
	o, err := w.op.Order(w.t.Context(), a.text("paymentId"))
	if err != nil || o.Status != status || o.Booked != booked {
		w.t.Errorf("the order is %s %s, booked %t (%v), want %s %t", o.Status, o.Reason, o.Booked, err, status, booked)
	}
}

func (w *world) walkTo(link string, c psu.Credentials, wish psu.Wish) *url.URL {
	w.t.Helper()
	out, err := psu.Walk(w.t.Context(), w.payer(), link, c, wish, w.clock.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	u, err := url.Parse(out.Location)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func TestExplicitAuthorisationBeginsWhenAsked(t *testing.T) {
	w := open(t)
	a := w.ordered("kranichbank", order{}, http.StatusCreated)
	if a.link("scaRedirect") != "" || a.link("scaStatus") != "" || a.text("scaStatus") != "" {
		t.Errorf("an authorisation that nobody started: %v", a.body)
	}
	started := w.step("POST", a.link("startAuthorisation"), struct{}{}, http.StatusCreated)
	if started.text("scaStatus") != "received" || started.text("authorisationId") == "" {
		t.Errorf("%v", started.body)
	}
	again := w.step("POST", a.link("startAuthorisation"), struct{}{}, http.StatusCreated)
	if page := body(t, w.srv.Client(), started.link("scaRedirect")); strings.Contains(page, "<form") {
		t.Error("the page of an authorisation that was begun anew still works")
	}
	w.walkTo(again.link("scaRedirect"), w.persona("kranichbank", "anna"), psu.Wish{})
	w.wantOrder(a, "ACCC", true)
	w.step("POST", a.link("startAuthorisation"), struct{}{}, http.StatusConflict)
}

func TestConfirmationCodeIsNeededAndGoodOnce(t *testing.T) {
	w := open(t)
	a := w.ordered("muehlenbank", order{}, http.StatusCreated)
	code := w.walkTo(a.link("scaRedirect"), w.persona("muehlenbank", "anna"), psu.Wish{}).Query().Get("confirmationCode")
	if got := w.get(a.link("scaStatus"), http.StatusOK).text("scaStatus"); got != "unconfirmed" || code == "" {
		t.Fatalf("scaStatus %q, code %q", got, code)
	}
	w.wantOrder(a, "RCVD", false)
	w.step("PUT", a.link("confirmation"), map[string]string{"confirmationCode": "0" + code}, http.StatusUnauthorized)
	w.wantOrder(a, "RCVD", false)
	w.step("PUT", a.link("confirmation"), map[string]string{"confirmationCode": code}, http.StatusOK)
	w.wantOrder(a, "ACCC", true)
	w.step("PUT", a.link("confirmation"), map[string]string{"confirmationCode": code}, http.StatusConflict)

	a = w.ordered("muehlenbank", order{}, http.StatusCreated)
	w.walkTo(a.link("scaRedirect"), w.persona("muehlenbank", "bert"), psu.Wish{})
	for range 4 {
		w.step("PUT", a.link("confirmation"), map[string]string{"confirmationCode": "guess"}, http.StatusUnauthorized)
	}
	w.step("PUT", a.link("confirmation"), map[string]string{"confirmationCode": "guess"}, http.StatusForbidden)
	w.wantOrder(a, "RJCT", false)
}

func (w *world) phone(bank, user string) string { return w.srv.URL + "/" + bank + "/phone/" + user }

func TestAppConfirmsWhatItShows(t *testing.T) {
	w := open(t)
	if a := w.ordered("moorbank", order{}, http.StatusBadRequest); a.code() != "FORMAT_ERROR" {
		t.Errorf("%v", a.body)
	}
	if a := w.ordered("moorbank", as("PSU-ID", "nobody"), http.StatusUnauthorized); a.code() != "PSU_CREDENTIALS_INVALID" {
		t.Errorf("%v", a.body)
	}
	if err := psu.Confirm(t.Context(), w.payer(), w.phone("moorbank", "anna"), psu.Wish{}); err == nil {
		t.Error("the app asks without an order")
	}
	a := w.ordered("moorbank", as("PSU-ID", "anna", "PSU-Accept-Language", "de"), http.StatusCreated)
	if a.header.Get("ASPSP-SCA-Approach") != "DECOUPLED" || a.text("scaStatus") != "started" || !strings.Contains(a.text("psuMessage"), "Öffnen Sie die App der Moorbank") {
		t.Errorf("%v", a.body)
	}
	page := body(t, w.srv.Client(), w.phone("moorbank", "anna"))
	if !strings.Contains(page, "25.00") || !strings.Contains(page, "Demo Casino GmbH") || strings.Contains(body(t, w.srv.Client(), w.phone("moorbank", "bert")), "Demo Casino") {
		t.Error("the app does not show the order, or shows it to somebody else")
	}
	action := regexp.MustCompile(`action="(/moorbank/phone/)anna(/[^"]+)"`).FindStringSubmatch(page)
	if res := post(t, w.srv.Client(), w.srv.URL+action[1]+"bert"+action[2], "action=pay"); res.StatusCode == http.StatusSeeOther {
		t.Error("somebody else could answer")
	}
	w.wantOrder(a, "RCVD", false)
	if err := psu.Confirm(t.Context(), w.payer(), w.phone("moorbank", "anna"), psu.Wish{}); err != nil {
		t.Fatal(err)
	}
	w.wantOrder(a, "ACCC", true)
	post(t, w.srv.Client(), w.srv.URL+action[1]+"anna"+action[2], "action=pay")
	w.wantOrder(a, "ACCC", true)

	a = w.ordered("moorbank", as("PSU-ID", "anna"), http.StatusCreated)
	if err := psu.Confirm(t.Context(), w.payer(), w.phone("moorbank", "anna"), psu.Wish{Decline: true}); err != nil {
		t.Fatal(err)
	}
	w.wantOrder(a, "RJCT", false)
}

// embedded takes an order at the embedded bank to the choice of a method.
func (w *world) embedded(user string) (a answer, self string) {
	w.t.Helper()
	a = w.ordered("inselbank", order{}, http.StatusCreated)
	started := w.step("POST", a.link("startAuthorisationWithPsuIdentification"), struct{}{}, http.StatusCreated, "PSU-ID", user)
	self = started.link("updatePsuAuthentication")
	if started.text("scaStatus") != "psuIdentified" || self == "" {
		w.t.Fatalf("%v", started.body)
	}
	known := w.step("PUT", self, map[string]any{"psuData": map[string]string{"password": "sandbox"}}, http.StatusOK)
	if known.text("scaStatus") != "psuAuthenticated" || known.link("selectAuthenticationMethod") != self {
		w.t.Fatalf("%v", known.body)
	}
	return a, self
}

func TestEmbeddedMethods(t *testing.T) {
	w := open(t)
	for method, code := range map[string]func(chosen answer) string{
		"app": func(answer) string {
			code, _ := psu.TOTP(w.persona("inselbank", "anna").TOTPSecret, w.clock.Add(time.Minute)) // each works once
			return code
		},
		"photo": func(chosen answer) string {
			raw, err := base64.StdEncoding.DecodeString(chosen.text("challengeData", "image"))
			if img, perr := png.Decode(bytes.NewReader(raw)); err != nil || perr != nil || img.Bounds().Dx() < 64 {
				t.Errorf("the picture: %v %v", err, perr)
			}
			code, _ := psu.TOTP(w.persona("inselbank", "anna").TOTPSecret, w.clock.Add(time.Minute))
			return code
		},
		"sms": func(answer) string {
			page := body(t, w.srv.Client(), w.phone("inselbank", "anna"))
			text := regexp.MustCompile(`(?s)class="message"><output>(\d{6})</output>(.*?)</p>`).FindStringSubmatch(page)
			if text == nil || !strings.Contains(text[2], "25.00") || !strings.Contains(text[2], "Demo Casino GmbH") { // RTS Art. 5(1)
				t.Fatalf("the message does not say what is paid: %v", text)
			}
			return text[1]
		},
	} {
		a, self := w.embedded("anna")
		w.step("PUT", self, map[string]string{"authenticationMethodId": "pigeon"}, http.StatusBadRequest)
		chosen := w.step("PUT", self, map[string]string{"authenticationMethodId": method}, http.StatusOK)
		if chosen.text("scaStatus") != "scaMethodSelected" || chosen.text("chosenScaMethod", "authenticationMethodId") != method || chosen.link("authoriseTransaction") != self {
			t.Fatalf("%v", chosen.body)
		}
		entered := code(chosen)
		w.step("PUT", self, map[string]string{"scaAuthenticationData": "x" + entered}, http.StatusUnauthorized)
		if done := w.step("PUT", self, map[string]string{"scaAuthenticationData": entered}, http.StatusOK); done.text("scaStatus") != "finalised" {
			t.Errorf("%s: %v", method, done.body)
		}
		w.wantOrder(a, "ACCC", true)
		w.step("PUT", self, map[string]string{"scaAuthenticationData": entered}, http.StatusConflict)
	}
}

// TestFiveWrongAnswersEndAnEmbeddedAuthorisation (RTS on SCA, Art. 4(3)(b)):
// passwords and codes are counted together, also over new authorisations.
func TestFiveWrongAnswersEndAnEmbeddedAuthorisation(t *testing.T) {
	w := open(t)
	a := w.ordered("inselbank", order{}, http.StatusCreated)
	start, wrong := a.link("startAuthorisationWithPsuAuthentication"), map[string]any{"psuData": map[string]string{"password": "wrong"}}
	for range 2 {
		if no := w.step("POST", start, wrong, http.StatusUnauthorized, "PSU-ID", "anna"); no.code() != "PSU_CREDENTIALS_INVALID" {
			t.Errorf("%v", no.body)
		}
	}
	w.step("POST", start, wrong, http.StatusUnauthorized, "PSU-ID", "nobody") // the same as for a customer
	self := w.step("POST", start, map[string]any{"psuData": map[string]string{"password": "sandbox"}}, http.StatusCreated, "PSU-ID", "anna").link("selectAuthenticationMethod")
	w.step("PUT", self, map[string]string{"scaAuthenticationData": "000000"}, http.StatusConflict) // not the next step
	w.step("PUT", self, map[string]string{"authenticationMethodId": "app"}, http.StatusOK)
	w.step("PUT", self, map[string]string{"scaAuthenticationData": "12345x"}, http.StatusUnauthorized)
	if last := w.step("PUT", self, map[string]string{"scaAuthenticationData": "12345x"}, http.StatusForbidden); last.code() != "SERVICE_BLOCKED" {
		t.Errorf("%v", last.body)
	}
	w.wantOrder(a, "RJCT", false)
	w.step("POST", start, struct{}{}, http.StatusConflict, "PSU-ID", "anna")
}

func TestCancellationWaitsForItsAuthorisation(t *testing.T) {
	w := open(t)
	begin := func(bank, user string) (answer, answer) {
		a := w.ordered(bank, as("PSU-ID", user), http.StatusCreated)
		if start := a.link("startAuthorisation"); start != "" {
			w.step("POST", start, struct{}{}, http.StatusCreated)
		}
		gone := w.call("DELETE", a.link("self"), nil, nil)
		if gone.status != http.StatusAccepted || gone.text("transactionStatus") != "RCVD" {
			t.Fatalf("%d %v", gone.status, gone.body)
		}
		w.wantOrder(a, "RCVD", false)
		return a, w.step("POST", gone.link("startAuthorisation"), struct{}{}, http.StatusCreated)
	}
	anna := w.persona("kranichbank", "anna")
	for yes, want := range map[bool]string{true: "CANC", false: "RCVD"} {
		a, c := begin("kranichbank", "anna")
		w.walkTo(c.link("scaRedirect"), anna, psu.Wish{Cancel: true, Decline: !yes})
		w.wantOrder(a, want, false)
		w.clock.Add(time.Minute) // for the next code

		a, c = begin("moorbank", "anna")
		if c.text("scaStatus") != "started" {
			t.Errorf("%v", c.body)
		}
		if err := psu.Confirm(t.Context(), w.payer(), w.phone("moorbank", "anna"), psu.Wish{Cancel: true, Decline: !yes}); err != nil {
			t.Fatal(err)
		}
		w.wantOrder(a, want, false)
		if got := w.get(c.link("scaStatus"), http.StatusOK).text("scaStatus"); (got == "finalised") != yes {
			t.Errorf("the cancellation's scaStatus is %s", got)
		}
	}
	a, _ := begin("moorbank", "dora") // who never agrees
	if err := psu.Confirm(t.Context(), w.payer(), w.phone("moorbank", "dora"), psu.Wish{Cancel: true}); err != nil {
		t.Fatal(err)
	}
	w.wantOrder(a, "RCVD", false)
	a, c := begin("kranichbank", "anna") // he pays meanwhile: then it is too late
	paid := w.step("POST", payments("kranichbank")+"/"+a.text("paymentId")+"/authorisations", struct{}{}, http.StatusCreated)
	w.walkTo(paid.link("scaRedirect"), anna, psu.Wish{})
	if page := body(t, w.srv.Client(), c.link("scaRedirect")); strings.Contains(page, "<form") {
		t.Error("what is paid can still be cancelled")
	}
	w.wantOrder(a, "ACCC", true)
}

func TestNewsAreTriedAgain(t *testing.T) {
	w := open(t)
	var calls atomic.Int64
	var said atomic.Value
	tpp := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		said.Store(string(raw))
		if calls.Add(1) < 3 {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer tpp.Close()
	a := w.ordered("moorbank", as("PSU-ID", "anna", "TPP-Notification-URI", tpp.URL+"/n"), http.StatusCreated)
	if a.header.Get("ASPSP-Notification-Support") != "true" {
		t.Errorf("%v", a.header)
	}
	step := func() time.Time {
		next, err := w.bank.Step(t.Context(), w.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	if step(); calls.Load() != 0 {
		t.Error("news of nothing")
	}
	if err := psu.Confirm(t.Context(), w.payer(), w.phone("moorbank", "anna"), psu.Wish{}); err != nil {
		t.Fatal(err)
	}
	for want := int64(1); want <= 3; want++ {
		next := step()
		if calls.Load() != want || next.IsZero() != (want == 3) {
			t.Fatalf("%d calls, next %s", calls.Load(), next)
		}
		w.clock.Add(time.Minute)
	}
	if got := said.Load(); got != fmt.Sprintf(`{"paymentId":"%s","transactionStatus":"ACCC","scaStatus":"finalised"}`, a.text("paymentId")) {
		t.Errorf("%s", got)
	}
	if step(); calls.Load() != 3 {
		t.Error("told again")
	}
	w.ordered("moorbank", as("PSU-ID", "anna", "TPP-Notification-URI", "http://tpp.example/n"), http.StatusBadRequest)
}

func TestFundsToTheCent(t *testing.T) {
	w := open(t)
	clara := w.persona("sandbank", "clara").Accounts[0].IBAN
	ask := func(iban, amount string, want int) answer {
		return w.step("POST", "/sandbank/v1/funds-confirmations", map[string]any{"account": map[string]string{"iban": iban},
			"instructedAmount": map[string]string{"currency": "EUR", "amount": amount}}, want)
	}
	for amount, want := range map[string]bool{"0.05": true, "0.06": false} {
		if got := ask(clara, amount, http.StatusOK).body["fundsAvailable"]; got != want {
			t.Errorf("%s: %v", amount, got)
		}
	}
	ask(payeeIBAN, "1.00", http.StatusBadRequest)
	ask(clara, "1,00", http.StatusBadRequest)
}

func TestPain001IsAnOrder(t *testing.T) {
	w := open(t)
	anna := w.persona("foerdebank", "anna")
	const form = `<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn>` +
		`<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-11-20T10:00:00Z</CreDtTm><NbOfTxs>1</NbOfTxs><CtrlSum>25.00</CtrlSum><InitgPty><Nm>Hub</Nm></InitgPty></GrpHdr>` +
		`<PmtInf><PmtInfId>P1</PmtInfId><PmtMtd>TRF</PmtMtd><NbOfTxs>1</NbOfTxs><CtrlSum>25.00</CtrlSum><PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl><LclInstrm><Cd>INST</Cd></LclInstrm></PmtTpInf>` +
		`<ReqdExctnDt><Dt>2026-11-20</Dt></ReqdExctnDt><Dbtr><Nm>Anna</Nm></Dbtr><DbtrAcct><Id><IBAN>%s</IBAN></Id></DbtrAcct><DbtrAgt><FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId></DbtrAgt>` +
		`<ChrgBr>SLEV</ChrgBr><CdtTrfTxInf><PmtId><EndToEndId>E2EX</EndToEndId></PmtId><Amt><InstdAmt Ccy="EUR">25.00</InstdAmt></Amt><Cdtr><Nm>Demo Casino GmbH</Nm></Cdtr>` +
		`<CdtrAcct><Id><IBAN>` + payeeIBAN + `</IBAN></Id></CdtrAcct><RmtInf><Ustrd>Deposit</Ustrd></RmtInf></CdtTrfTxInf></PmtInf></CstmrCdtTrfInitn></Document>`
	send := func(body string, want int) answer {
		h := http.Header{"Content-Type": {"application/xml"}, "Psu-Ip-Address": {"192.0.2.7"}, "Tpp-Redirect-Uri": {okURI}}
		a := w.call("POST", "/foerdebank/v1/payments/pain.001-instant-sepa-credit-transfers", h, []byte(body))
		if a.status != want {
			t.Fatalf("%d %v, want %d", a.status, a.body, want)
		}
		return a
	}
	good := fmt.Sprintf(form, anna.Accounts[0].IBAN)
	a := send(good, http.StatusCreated)
	if !strings.Contains(a.link("self"), "/pain.001-instant-sepa-credit-transfers/") {
		t.Errorf("%v", a.body)
	}
	w.walkTo(a.link("scaRedirect"), anna, psu.Wish{})
	w.wantOrder(a, "ACCC", true)
	if list := w.transfers("E2EX"); len(list) != 1 || list[0].Amount.AmountMinor != 2500 || list[0].Remittance != "Deposit" {
		t.Errorf("%+v", list)
	}
	for _, bad := range []string{strings.Replace(good, "<CtrlSum>25.00", "<CtrlSum>26.00", 1), strings.Replace(good, "?>", "?><!DOCTYPE x>", 1), "<x/>", ""} {
		if no := send(bad, http.StatusBadRequest); no.code() != "FORMAT_ERROR" {
			t.Errorf("%v", no.body)
		}
	}
}

// TestOlderFileIsBroughtUpToDate: a demo's file survives a new version.
func TestOlderFileIsBroughtUpToDate(t *testing.T) {
	file := t.TempDir() + "/bank.db"
	first := open(t, sandbox.Config{File: file})
	a := first.ordered("sandbank", order{}, http.StatusCreated)
	first.stop()
	old, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"DROP TABLE cancellations", "DROP TABLE grants", "DROP TABLE notices", "ALTER TABLE orders DROP COLUMN method", "ALTER TABLE orders DROP COLUMN code",
		"ALTER TABLE orders DROP COLUMN confirm_hash", "ALTER TABLE orders DROP COLUMN grant_id", "ALTER TABLE orders DROP COLUMN notify_uri"} {
		if _, err := old.ExecContext(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, sandbox.Config{File: file})
	second.wantOrder(a, "RCVD", false)
	if gone := second.call("DELETE", a.link("self"), nil, nil); gone.status != http.StatusNoContent {
		t.Errorf("%d %v", gone.status, gone.body)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
}
