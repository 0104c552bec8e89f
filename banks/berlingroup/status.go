package berlingroup

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// Status implements banks.Bank: the payment's status, the authorisation's while
// the payment is not final, and the payment itself once it is executed, for the
// paying account. Only the first decides about the error; but a bank whose
// payment is not the order we gave is believed in nothing.
func (b *Bank) Status(ctx context.Context, r banks.Ref) (banks.Status, error) {
	st, err := b.restore(r)
	if err != nil {
		return banks.Status{}, err
	}
	v := b.visit(ctx, r, st)
	first, failure := b.get(ctx, "status", st.Status, v, "")
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
		a, failure := b.get(ctx, "sca status", st.SCA, v, "sca")
		answers["authorisation"] = a
		if s := a.code("scaStatus"); s != "" {
			out.SCA = s
		} else if undecided && failure != nil && (failure.Kind == banks.Uncertain || failure.Kind == banks.Unavailable) {
			out.SCA = psd2.SCAUnread
		}
	}
	if executed {
		a, failure := b.payment(ctx, st, v, r.EndToEndID)
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
func (b *Bank) payment(ctx context.Context, st state, v visit, endToEndID string) (answer, *banks.Error) {
	a, failure := b.get(ctx, "payment", st.Payment, v, "payment")
	if failure != nil && ctx.Err() == nil && (failure.Kind == banks.Uncertain || failure.Kind == banks.Unavailable) {
		a, failure = b.get(ctx, "payment", st.Payment, v, "payment again")
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
		b.client.log.ErrorContext(ctx, "the bank's payment is not the order it was given", "bank", b.info.ID, "end_to_end_id", endToEndID, "trace_id", v.traceID)
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

// get fetches a JSON object, or for an XML product what stands for one.
func (b *Bank) get(ctx context.Context, what, href string, v visit, step string) (answer, *banks.Error) {
	u, ok := b.resolve(href)
	if !ok {
		return nil, &banks.Error{Kind: banks.BadRequest, Code: "STATE_INVALID"}
	}
	rep, failure := b.client.do(ctx, request{what: what, method: http.MethodGet, url: u, header: psuHeaders(v.psu, ""),
		token: v.token, requestID: v.id(step), traceID: v.traceID})
	if failure != nil {
		return nil, failure
	}
	if rep.status != http.StatusOK {
		return nil, failed(rep, false, b.client.now())
	}
	a, ok := parse(rep.json)
	if rep.xml != nil && b.p.xml {
		a, ok = readXML(rep.xml)
	}
	if !ok {
		return nil, &banks.Error{Kind: banks.Uncertain, HTTPStatus: rep.status, Code: "ANSWER_UNREADABLE", Err: errUnreadable}
	}
	return a, nil
}

var errUnreadable = errors.New("the answer is not a JSON object")
