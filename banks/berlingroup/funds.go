package berlingroup

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// FundsAvailable implements banks.FundsChecker, at a bank whose profile says
// that it confirms funds. The answer is about this moment; it reserves nothing.
func (b *Bank) FundsAvailable(ctx context.Context, r banks.Ref, from psd2.IBAN, m psd2.Money) (bool, error) {
	if !b.p.FundsConfirmation {
		return false, unsendable("SERVICE_INVALID")
	}
	if _, err := psd2.ParseIBAN(string(from)); err != nil || m.CheckSCTInst() != nil {
		return false, unsendable("ORDER_INVALID")
	}
	if _, err := uuid.Parse(r.RequestID); err != nil {
		return false, unsendable("REQUEST_ID_INVALID")
	}
	body, err := json.Marshal(struct {
		Account account `json:"account"`
		Amount  amount  `json:"instructedAmount"`
	}{account{from}, amount{Currency: m.Currency, Amount: m.Decimal()}})
	if err != nil {
		return false, unsendable("ORDER_INVALID")
	}
	var token string
	if r.State != nil {
		st, err := b.restore(r)
		if err != nil {
			return false, err
		}
		token = b.bearer(ctx, st, r)
	}
	rep, failure := b.client.do(ctx, request{what: "funds", method: http.MethodPost, url: b.p.base.JoinPath("v1/funds-confirmations"),
		header: http.Header{}, body: body, token: token, requestID: r.RequestID, traceID: r.TraceID})
	if failure != nil {
		return false, failure
	}
	if rep.status != http.StatusOK {
		return false, failed(rep, false, b.client.now())
	}
	a, _ := parse(rep.json)
	var available *bool
	if json.Unmarshal(a["fundsAvailable"], &available) != nil || available == nil {
		return false, oddly(rep, "ANSWER_UNREADABLE")
	}
	return *available, nil
}
