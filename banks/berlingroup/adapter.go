package berlingroup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// Bank is one NextGenPSD2 bank. It keeps connections, but no state of any
// order, and is safe for concurrent use.
type Bank struct {
	info   banks.Info
	p      *profile
	client *client
}

var (
	_ banks.Bank      = (*Bank)(nil)
	_ banks.Canceller = (*Bank)(nil)
)

// Open is the adapter's banks.Factory.
func Open(e banks.Entry, d banks.Deps) (banks.Bank, error) {
	var c Config
	if err := e.DecodeProfile(&c); err != nil {
		return nil, err
	}
	return New(e.ID, c, d)
}

// New makes the adapter of the bank id. The error names everything that is
// wrong with the profile.
func New(id string, c Config, d banks.Deps) (*Bank, error) {
	p, err := c.check()
	if err != nil {
		return nil, fmt.Errorf("bank %s: %w", id, err)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Bank{p: p, client: newClient(id, p, d), info: banks.Info{
		ID:              id,
		Approaches:      []banks.Approach{banks.Redirect},
		RiskAtOnce:      c.RiskAtOnce,
		RedirectLife:    c.RedirectLife,
		RedirectOrigins: p.origins,
		DebtorMandatory: p.DebtorAccount == DebtorMandatory,
	}}, nil
}

// Info implements banks.Bank. Dedup is zero: the standard has none.
func (b *Bank) Info() banks.Info {
	i := b.info
	i.Approaches, i.RedirectOrigins = slices.Clone(i.Approaches), slices.Clone(i.RedirectOrigins)
	return i
}

// state is what Initiate hands to the hub. The two digests let Status notice a
// bank that executes something else than we ordered, without keeping the
// account here.
type state struct {
	Version int    `json:"v"`
	Payment string `json:"payment"`          // URL of the payment resource
	Status  string `json:"status"`           // URL of its status
	SCA     string `json:"sca,omitempty"`    // URL of its authorisation; "" when the bank gave none
	Amount  string `json:"amount,omitempty"` // digests
	Payee   string `json:"payee,omitempty"`
}

func digest(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:16])
}

// Initiate implements banks.Bank.
func (b *Bank) Initiate(ctx context.Context, o banks.Order) (banks.Initiation, error) {
	body, header, err := b.compose(o)
	if err != nil {
		return banks.Initiation{}, err
	}
	rep, failure := b.client.do(ctx, request{what: "initiate", method: http.MethodPost, url: b.p.base.JoinPath("v1/payments", b.p.Product),
		header: header, body: body, requestID: o.RequestID, traceID: o.TraceID})
	if failure != nil {
		return banks.Initiation{}, failure
	}
	if rep.status != http.StatusCreated && rep.status != http.StatusOK && rep.status != http.StatusAccepted {
		return banks.Initiation{}, failed(rep, true, b.client.now())
	}
	return b.accepted(rep, o)
}

var endToEndID = regexp.MustCompile(`^[A-Za-z0-9+?/:().,' -]{1,35}$`)

// compose checks the order and writes body and headers. Its errors are
// invalid: nothing was sent.
func (b *Bank) compose(o banks.Order) ([]byte, http.Header, error) {
	_, ibanErr := psd2.ParseIBAN(string(o.Creditor.IBAN))
	_, idErr := uuid.Parse(o.RequestID)
	switch {
	case o.Amount.CheckSCTInst() != nil:
		return nil, nil, unsendable("AMOUNT_INVALID")
	case ibanErr != nil:
		return nil, nil, unsendable("CREDITOR_ACCOUNT_INVALID")
	case strings.TrimSpace(o.Creditor.Name) == "" || psd2.CheckText("name", o.Creditor.Name, 70) != nil:
		return nil, nil, unsendable("CREDITOR_NAME_INVALID")
	case !endToEndID.MatchString(o.EndToEndID) || psd2.CheckReference(o.EndToEndID) != nil:
		return nil, nil, unsendable("END_TO_END_ID_INVALID")
	case len(o.Remittance) > 140 || !psd2.IsEPC(o.Remittance):
		return nil, nil, unsendable("REMITTANCE_INVALID")
	case idErr != nil:
		return nil, nil, unsendable("REQUEST_ID_INVALID")
	case o.PSU.IP == "":
		return nil, nil, unsendable("PSU_IP_ADDRESS_MISSING")
	case o.Debtor == "" && b.p.DebtorAccount == DebtorMandatory:
		return nil, nil, unsendable("DEBTOR_ACCOUNT_MISSING")
	case !absolute(o.ReturnURL) || o.FailURL != "" && !absolute(o.FailURL):
		return nil, nil, unsendable("RETURN_URL_INVALID")
	}
	header := psuHeaders(o.PSU, http.MethodPost)
	header.Set("TPP-Redirect-Preferred", "true")
	header.Set("TPP-Redirect-URI", o.ReturnURL)
	if o.FailURL != "" {
		header.Set("TPP-Nok-Redirect-URI", o.FailURL)
	}
	header.Set("TPP-Explicit-Authorisation-Preferred", "false")
	for _, name := range b.p.RequiredHeaders {
		if header.Get(name) == "" && b.p.fixed.Get(name) == "" {
			return nil, nil, unsendable("HEADER_MISSING")
		}
	}
	order := paymentInitiation{
		EndToEndID:      o.EndToEndID,
		Amount:          amount{Currency: o.Amount.Currency, Amount: o.Amount.Decimal()},
		CreditorAccount: account{o.Creditor.IBAN},
		CreditorName:    o.Creditor.Name,
		Remittance:      o.Remittance,
	}
	if o.Debtor != "" {
		if _, err := psd2.ParseIBAN(string(o.Debtor)); err != nil {
			return nil, nil, unsendable("DEBTOR_ACCOUNT_INVALID")
		}
	}
	if o.Debtor != "" || b.p.DebtorAccount == DebtorEmpty {
		order.DebtorAccount = &account{o.Debtor}
	}
	if bicfi.MatchString(o.Creditor.BIC) {
		order.CreditorAgent = o.Creditor.BIC
	}
	body, err := json.Marshal(order)
	if err != nil {
		return nil, nil, unsendable("ORDER_INVALID")
	}
	return body, header, nil
}

// bicfi is the standard's form of a BIC, narrower than ISO 9362's; others are
// left out, the IBAN alone is enough in SEPA.
var bicfi = regexp.MustCompile(`^[A-Z]{6}[A-Z2-9][A-NP-Z0-9]([A-Z0-9]{3})?$`)

func unsendable(code string) error { return &banks.Error{Kind: banks.BadRequest, Code: code} }

func absolute(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && headerText(s) == s
}

// psuHeaders forwards what is known of the payer's browser; method is that of
// his own request, "" when he is not there.
func psuHeaders(psu psd2.PSU, method string) http.Header {
	h := http.Header{}
	for name, value := range map[string]string{
		"PSU-IP-Address": psu.IP, "PSU-IP-Port": psu.Port, "PSU-User-Agent": psu.UserAgent,
		"PSU-Accept": psu.Accept, "PSU-Accept-Language": psu.AcceptLanguage, "PSU-Http-Method": method,
	} {
		if value = headerText(value); value != "" && psu.IP != "" {
			h.Set(name, value)
		}
	}
	return h
}

// accepted reads the answer to an initiation. From here on the order exists at
// the bank, so whatever is wrong with the answer is uncertain.
func (b *Bank) accepted(rep *reply, o banks.Order) (banks.Initiation, error) {
	odd := func(code string) (banks.Initiation, error) {
		return banks.Initiation{}, &banks.Error{Kind: banks.Uncertain, HTTPStatus: rep.status, Code: code}
	}
	a, ok := parse(rep.json)
	if !ok {
		return odd("ANSWER_UNREADABLE")
	}
	status := b.status(a)
	if psd2.StandingOf(status) == psd2.StandingRefused {
		return banks.Initiation{}, &banks.Error{Kind: banks.Refused, HTTPStatus: rep.status, Code: a.reason(b.p.ReasonFields)}
	}
	payment, ok := b.paymentURL(a.text("paymentId"))
	if !ok || status == "" {
		return odd("ANSWER_INCOMPLETE")
	}
	st := state{Version: 1, Payment: payment.String(), Status: payment.JoinPath("status").String(),
		Amount: digest(o.Amount.Decimal() + o.Amount.Currency), Payee: digest(string(o.Creditor.IBAN))}
	for _, l := range []struct {
		name string
		url  *string
	}{{"self", &st.Payment}, {"status", &st.Status}, {"scaStatus", &st.SCA}} {
		if u, ok := b.resolve(a.link(l.name)); ok {
			*l.url = u.String()
		}
	}
	opaque, err := json.Marshal(st)
	if err != nil {
		return odd("ANSWER_UNREADABLE")
	}
	in := banks.Initiation{State: opaque, Approach: banks.Redirect, Status: status}
	if link := a.link("scaRedirect"); link != "" {
		where, ok := b.redirect(link)
		if !ok {
			return odd("REDIRECT_NOT_ALLOWED")
		}
		in.Prompt = psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: where}
		return in, nil
	}
	if standing := psd2.StandingOf(status); a.code("scaStatus") == psd2.SCAExempted || standing >= psd2.StandingAuthorized && standing < psd2.StandingRefused {
		return in, nil // the bank asks nothing of the payer
	}
	return odd("SCA_APPROACH_NOT_SUPPORTED")
}

func (b *Bank) status(a answer) string {
	code := a.code("transactionStatus")
	if alias, ok := b.p.StatusAliases[code]; ok {
		return alias
	}
	return code
}

// paymentURL is where the standard puts the order, for banks whose links are
// missing or lead elsewhere.
func (b *Bank) paymentURL(id string) (*url.URL, bool) {
	if id == "" || len(id) > 512 || id == "." || id == ".." || headerText(id) != id {
		return nil, false
	}
	return b.p.base.JoinPath("v1/payments", b.p.Product, url.PathEscape(id)), true
}

// resolve makes a link absolute and accepts it only beneath the bank's base:
// an answer must not make us call anybody else. Some banks leave their base
// path out of relative links; it is put back.
func (b *Bank) resolve(href string) (*url.URL, bool) {
	ref, err := url.Parse(href)
	if href == "" || err != nil || ref.Opaque != "" || ref.User != nil || ref.Fragment != "" || headerText(href) != href {
		return nil, false
	}
	base := b.p.base.JoinPath("/")
	u := base.ResolveReference(ref)
	under := func(u *url.URL) bool { return strings.HasPrefix(u.EscapedPath(), base.EscapedPath()) }
	if ref.Host == "" && strings.HasPrefix(ref.Path, "/") && !under(u) {
		u = b.p.base.JoinPath(ref.EscapedPath())
		u.RawQuery = ref.RawQuery
	}
	return u, origin(u) == origin(b.p.base) && under(u)
}

// redirect accepts a link for the payer's browser only if it is https and its
// origin is one of the profile's (C36). What is returned is written anew, so
// that the browser parses what we parsed.
func (b *Bank) redirect(href string) (string, bool) {
	u, err := url.Parse(href)
	if err != nil || len(href) > 8192 || u.Opaque != "" || u.User != nil || headerText(href) != href || strings.ContainsAny(href, "\\ ") {
		return "", false
	}
	if !b.p.mayVisit(u) || !slices.Contains(b.p.origins, origin(u)) {
		return "", false
	}
	u.Host = strings.TrimPrefix(origin(u), u.Scheme+"://") // as the profile writes it, for who compares again
	return u.String(), true
}

// Status implements banks.Bank: the payment's status, the authorisation's while
// the payment is not final, and the payment itself once it is executed, for the
// paying account. Only the first decides about the error; but a bank whose
// payment is not the order we gave is believed in nothing.
func (b *Bank) Status(ctx context.Context, r banks.Ref) (banks.Status, error) {
	st, err := b.restore(r)
	if err != nil {
		return banks.Status{}, err
	}
	first, failure := b.get(ctx, "status", st.Status, r, "")
	if failure != nil {
		return banks.Status{}, failure
	}
	out := banks.Status{Transaction: b.status(first), SCA: first.code("scaStatus")}
	if out.Transaction == "" {
		return banks.Status{}, &banks.Error{Kind: banks.Uncertain, HTTPStatus: http.StatusOK, Code: "ANSWER_INCOMPLETE"}
	}
	standing := psd2.StandingOf(out.Transaction)
	if standing == psd2.StandingRefused || standing == psd2.StandingCanceled {
		out.Reason = first.reason(b.p.ReasonFields)
	}
	answers := map[string]answer{"status": first}
	executed := standing == psd2.StandingExecuted || standing == psd2.StandingSettled
	undecided := !executed && standing != psd2.StandingCanceled && !isReason(out.Reason)
	if st.SCA != "" && (undecided && out.SCA == "" || executed && b.p.nameInAuthorisation) {
		a, failure := b.get(ctx, "sca status", st.SCA, r, "sca")
		answers["authorisation"] = a
		if s := a.code("scaStatus"); s != "" {
			out.SCA = s
		} else if undecided && failure != nil && (failure.Kind == banks.Uncertain || failure.Kind == banks.Unavailable) {
			out.SCA = psd2.SCAUnread
		}
	}
	if executed {
		a, failure := b.payment(ctx, st, r)
		if failure != nil && failure.Code == orderChanged {
			return banks.Status{}, failure
		}
		answers["payment"] = a
	}
	out.Payer = b.payer(answers)
	return out, nil
}

const orderChanged = "ORDER_CHANGED"

// payment reads the payment resource, twice if need be: who paid is asked for
// only now, and the hub may have no reason to come back. It fails with
// orderChanged when amount or payee are not those of the order.
func (b *Bank) payment(ctx context.Context, st state, r banks.Ref) (answer, *banks.Error) {
	a, failure := b.get(ctx, "payment", st.Payment, r, "payment")
	if failure != nil && ctx.Err() == nil && (failure.Kind == banks.Uncertain || failure.Kind == banks.Unavailable) {
		a, failure = b.get(ctx, "payment", st.Payment, r, "payment again")
	}
	if failure != nil {
		return nil, failure
	}
	m, known := a.money("instructedAmount")
	changed := known && st.Amount != "" && digest(m.Decimal()+m.Currency) != st.Amount
	if payee := a.iban("creditorAccount"); payee != "" && st.Payee != "" && digest(string(payee)) != st.Payee {
		changed = true
	}
	if changed {
		b.client.log.ErrorContext(ctx, "the bank's payment is not the order it was given", "bank", b.info.ID, "end_to_end_id", r.EndToEndID, "trace_id", r.TraceID)
		return nil, &banks.Error{Kind: banks.Uncertain, HTTPStatus: http.StatusOK, Code: orderChanged}
	}
	return a, nil
}

// payer gathers account and holder from the answers there are.
func (b *Bank) payer(answers map[string]answer) psd2.Party {
	p := psd2.Party{IBAN: answers["payment"].iban("debtorAccount")}
	if p.IBAN == "" {
		p.IBAN = answers["status"].iban("debtorAccount")
	}
	for _, place := range b.p.HolderName {
		in, member, _ := strings.Cut(place, ".")
		if p.Name = answers[in].holder(member); p.Name != "" {
			break
		}
	}
	return p
}

// Cancel implements banks.Canceller. A bank that wants the payer to authorise
// the cancellation has not done it.
func (b *Bank) Cancel(ctx context.Context, r banks.Ref) (banks.Cancellation, error) {
	st, err := b.restore(r)
	if err != nil {
		return banks.Cancellation{}, err
	}
	u, ok := b.resolve(st.Payment)
	if !ok {
		return banks.Cancellation{}, unsendable("STATE_INVALID")
	}
	rep, failure := b.client.do(ctx, request{what: "cancel", method: http.MethodDelete, url: u, header: psuHeaders(r.PSU, ""), requestID: r.RequestID, traceID: r.TraceID})
	if failure != nil {
		return banks.Cancellation{}, failure
	}
	switch rep.status {
	case http.StatusNoContent:
		return banks.Cancellation{Done: true}, nil
	case http.StatusOK, http.StatusAccepted:
		a, _ := parse(rep.json)
		return banks.Cancellation{Done: psd2.StandingOf(b.status(a)) == psd2.StandingCanceled}, nil
	}
	return banks.Cancellation{}, failed(rep, false, b.client.now())
}

// restore reads a state that Initiate made. It comes out of our own store, but
// its URLs are checked again before use.
func (b *Bank) restore(r banks.Ref) (state, error) {
	var st state
	if json.Unmarshal(r.State, &st) != nil || st.Version != 1 {
		return st, unsendable("STATE_INVALID")
	}
	if _, err := uuid.Parse(r.RequestID); err != nil {
		return st, unsendable("REQUEST_ID_INVALID")
	}
	return st, nil
}

// get fetches a JSON object. X-Request-ID must differ between calls, so the
// second and third of a Status carry ids derived from the first (UUIDv5).
func (b *Bank) get(ctx context.Context, what, href string, r banks.Ref, step string) (answer, *banks.Error) {
	u, ok := b.resolve(href)
	if !ok {
		return nil, &banks.Error{Kind: banks.BadRequest, Code: "STATE_INVALID"}
	}
	id := r.RequestID
	if step != "" {
		id = uuid.NewSHA1(uuid.MustParse(r.RequestID), []byte(step)).String()
	}
	rep, failure := b.client.do(ctx, request{what: what, method: http.MethodGet, url: u, header: psuHeaders(r.PSU, ""), requestID: id, traceID: r.TraceID})
	if failure != nil {
		return nil, failure
	}
	if rep.status != http.StatusOK {
		return nil, failed(rep, false, b.client.now())
	}
	a, ok := parse(rep.json)
	if !ok {
		return nil, &banks.Error{Kind: banks.Uncertain, HTTPStatus: rep.status, Code: "ANSWER_UNREADABLE", Err: errUnreadable}
	}
	return a, nil
}

var errUnreadable = errors.New("the answer is not a JSON object")
