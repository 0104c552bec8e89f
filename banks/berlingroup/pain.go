package berlingroup

import (
	"errors"

	"github.com/go-json-experiment/json"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/iso20022"
)

// unnamed stands for the payer's name, which a payment initiation service does
// not know and pain.001 cannot do without.
const unnamed = "NOTPROVIDED"

// pain001 writes the order for an XML product (pain.001-…).
func (b *Bank) pain001(o banks.Order) ([]byte, error) {
	if o.Debtor == "" {
		return nil, errors.New("pain.001 needs the payer's account")
	}
	now := b.client.now()
	creditor := iso20022.Party{Name: iso20022.Transliterate(o.Creditor.Name)}
	return iso20022.Write(&iso20022.Initiation{
		MessageID: o.EndToEndID,
		CreatedAt: now,
		Initiator: iso20022.Party{Name: b.p.InitiatingParty},
		Batches: []iso20022.Batch{{
			ID: o.EndToEndID, ExecuteAt: iso20022.Day(now),
			Debtor: iso20022.Party{Name: unnamed}, DebtorAccount: o.Debtor,
			Orders: []iso20022.Order{{
				EndToEndID: o.EndToEndID, Amount: o.Amount,
				CreditorAgent: o.Creditor.BIC, Creditor: creditor, CreditorAccount: o.Creditor.IBAN,
				Remittance: iso20022.Remittance{Text: o.Remittance},
			}},
		}},
	})
}

// readXML reads what an XML product answers where JSON would be expected: the
// status as pain.002, the payment as pain.001. It gives the members that JSON
// would have, so that one reader serves both.
func readXML(body []byte) (answer, bool) {
	m, err := iso20022.Read(body, iso20022.Lenient)
	if err != nil {
		return nil, false
	}
	out := answer{}
	set := func(name string, v any) {
		if raw, err := json.Marshal(v); err == nil {
			out[name] = raw
		}
	}
	switch m := m.(type) {
	case *iso20022.InitiationStatus:
		status, reasons := m.Outcome(onlyOrder(m))
		set("transactionStatus", status)
		if len(reasons) > 0 {
			set("reasonCode", reasons[0].Code)
		}
	case *iso20022.Initiation:
		if len(m.Batches) != 1 || len(m.Batches[0].Orders) != 1 {
			return nil, false
		}
		batch, order := m.Batches[0], m.Batches[0].Orders[0]
		set("instructedAmount", amount{Currency: order.Amount.Currency, Amount: order.Amount.Decimal()})
		set("creditorAccount", account{order.CreditorAccount})
		set("debtorAccount", account{batch.DebtorAccount})
		if batch.Debtor.Name != unnamed {
			set("debtorName", batch.Debtor.Name)
		}
	default:
		return nil, false
	}
	return out, true
}

// onlyOrder is the EndToEndId of the one transaction a report names, "" when
// it names none or several.
func onlyOrder(m *iso20022.InitiationStatus) string {
	if len(m.Batches) == 1 && len(m.Batches[0].Transactions) == 1 {
		return m.Batches[0].Transactions[0].EndToEndID
	}
	return ""
}
