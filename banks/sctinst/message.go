package sctinst

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

const nameInitiation = "pain.001.001.09"

// order writes the pain.001 of one transfer. Its errors are invalid: nothing
// was sent.
func (c *Channel) order(t banks.Transfer) ([]byte, error) {
	if err := checkRefs(t.MessageID, t.EndToEndID, t.RequestID); err != nil {
		return nil, err
	}
	iban, ibanErr := psd2.ParseIBAN(string(t.Creditor.IBAN))
	name := payeeName(t.Creditor.Name)
	switch {
	case t.Amount.CheckSCTInst() != nil:
		return nil, unsendable("AMOUNT_INVALID", nil)
	case ibanErr != nil:
		return nil, unsendable("CREDITOR_ACCOUNT_INVALID", nil)
	case name == "":
		return nil, unsendable("CREDITOR_NAME_INVALID", nil)
	case utf8.RuneCountInString(t.Remittance) > 140 || !psd2.IsEPC(t.Remittance):
		return nil, unsendable("REMITTANCE_INVALID", nil)
	}
	created := t.CreatedAt
	if created.IsZero() {
		created = c.now()
	}
	agent := ""
	if psd2.IsBIC(t.Creditor.BIC) { // otherwise the IBAN alone is enough in SEPA
		agent = t.Creditor.BIC
	}
	own := iso20022.Party{Name: c.info.Account.Name}
	return write("ORDER_INVALID", &iso20022.Initiation{
		MessageID: t.MessageID, CreatedAt: created.UTC().Truncate(time.Millisecond), Initiator: own,
		Batches: []iso20022.Batch{{
			ID: t.MessageID, ExecuteAt: iso20022.Day(created), Debtor: own,
			DebtorAccount: c.info.Account.IBAN, DebtorAgent: c.info.Account.BIC,
			Orders: []iso20022.Order{{
				InstructionID: t.EndToEndID, EndToEndID: t.EndToEndID, Amount: t.Amount, CreditorAgent: agent,
				Creditor: iso20022.Party{Name: name}, CreditorAccount: iban, Remittance: iso20022.Remittance{Text: t.Remittance},
			}},
		}},
	})
}

// payeeName is a name as a bank takes it: EPC characters, at most 70.
func payeeName(s string) string {
	s = strings.TrimSpace(s)
	if psd2.CheckText("name", s, 140) != nil {
		return ""
	}
	s = iso20022.Transliterate(s)
	return strings.TrimSpace(s[:min(len(s), 70)])
}

// inquiry writes the pacs.028 that asks for a transfer.
func (c *Channel) inquiry(r banks.TransferRef) ([]byte, error) {
	if err := checkRefs(r.MessageID, r.EndToEndID, r.RequestID); err != nil {
		return nil, err
	}
	id := messageID(r.RequestID)
	return write("INQUIRY_INVALID", &iso20022.StatusRequest{
		MessageID: id, CreatedAt: c.stamp(),
		Inquiries: []iso20022.Inquiry{{ID: id, EndToEndID: r.EndToEndID,
			Original: iso20022.Original{MessageID: r.MessageID, Message: nameInitiation}}},
	})
}

// recall writes the camt.056 that asks for a transfer back.
func (c *Channel) recall(r banks.Recall) ([]byte, error) {
	if err := checkRefs(r.MessageID, r.EndToEndID, r.RequestID); err != nil {
		return nil, err
	}
	if psd2.CheckReference(r.ID) != nil {
		return nil, unsendable("RECALL_ID_INVALID", nil)
	}
	if r.Amount.CheckSCTInst() != nil {
		return nil, unsendable("AMOUNT_INVALID", nil)
	}
	return write("RECALL_INVALID", &iso20022.Recall{
		ID: r.ID, CreatedAt: c.stamp(), From: c.info.Account.BIC, To: c.info.Account.BIC,
		Transfers: []iso20022.RecalledTransfer{{
			ID: r.ID, EndToEndID: r.EndToEndID, Amount: r.Amount,
			Original: iso20022.Original{MessageID: r.MessageID, Message: nameInitiation},
			Reasons:  []iso20022.Reason{{Code: r.Reason, OriginName: c.info.Account.Name}},
		}},
	})
}

// messageID makes the MsgId of a message that needs none of its own out of the
// call's UUID: 32 characters.
func messageID(requestID string) string { return strings.ReplaceAll(requestID, "-", "") }

func (c *Channel) stamp() time.Time { return c.now().UTC().Truncate(time.Millisecond) }

// write is the strict writer; what it refuses is our mistake.
func write(code string, m iso20022.Message) ([]byte, error) {
	out, err := iso20022.Write(m)
	if err != nil {
		return nil, unsendable(code, err)
	}
	return out, nil
}
