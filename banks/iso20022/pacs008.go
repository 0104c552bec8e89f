package iso20022

import (
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// InterbankTransfer is pacs.008: the payer's bank sends one SEPA Instant
// credit transfer to the payee's bank.
type InterbankTransfer struct {
	MessageID        string
	CreatedAt        time.Time
	SettlementDate   time.Time // midnight UTC
	InstructingAgent string    // BIC; may be empty
	InstructedAgent  string    // BIC; may be empty
	CategoryPurpose  string    // ISO external code

	InstructionID string // may be empty
	EndToEndID    string // empty is written as NOTPROVIDED
	TransactionID string
	UETR          string // may be empty
	Amount        psd2.Money
	AcceptedAt    time.Time // when the payer's bank had received the order; starts the ten seconds

	Debtor           Party
	DebtorAccount    psd2.IBAN
	DebtorAgent      string // BIC
	UltimateDebtor   Party
	CreditorAgent    string // BIC
	Creditor         Party
	CreditorAccount  psd2.IBAN
	UltimateCreditor Party
	Purpose          string // ISO external code
	Remittance       Remittance
}

// Name implements Message.
func (*InterbankTransfer) Name() string { return nameInterbankTransfer }

func (m *InterbankTransfer) body() *node {
	return el("FIToFICstmrCdtTrf",
		el("GrpHdr",
			leaf("MsgId", m.MessageID), stampLeaf("CreDtTm", m.CreatedAt), leaf("NbOfTxs", "1"),
			moneyLeaf("TtlIntrBkSttlmAmt", m.Amount), dayLeaf("IntrBkSttlmDt", m.SettlementDate),
			el("SttlmInf", leaf("SttlmMtd", "CLRG")), sepaInstant(m.CategoryPurpose),
			agentNode("InstgAgt", m.InstructingAgent), agentNode("InstdAgt", m.InstructedAgent)),
		el("CdtTrfTxInf",
			el("PmtId", leaf("InstrId", m.InstructionID), leaf("EndToEndId", endToEnd(m.EndToEndID)), leaf("TxId", m.TransactionID), leaf("UETR", m.UETR)),
			moneyLeaf("IntrBkSttlmAmt", m.Amount), stampLeaf("AccptncDtTm", m.AcceptedAt), leaf("ChrgBr", "SLEV"),
			m.UltimateDebtor.node("UltmtDbtr"),
			m.Debtor.node("Dbtr"), ibanNode("DbtrAcct", m.DebtorAccount), agentNode("DbtrAgt", m.DebtorAgent),
			agentNode("CdtrAgt", m.CreditorAgent), m.Creditor.node("Cdtr"), ibanNode("CdtrAcct", m.CreditorAccount),
			m.UltimateCreditor.node("UltmtCdtr"),
			inner("Purp/Cd", m.Purpose), m.Remittance.node()))
}

func (m *InterbankTransfer) fill(r *reader, d *doc) {
	head, t := d.body.at("GrpHdr"), d.body.at("CdtTrfTxInf")
	*m = InterbankTransfer{
		MessageID: head.val("MsgId"), CreatedAt: d.created, SettlementDate: day(either(head, t, "IntrBkSttlmDt")),
		InstructingAgent: readAgent(either(head, t, "InstgAgt")), InstructedAgent: readAgent(either(head, t, "InstdAgt")),
		CategoryPurpose: either(head, t, "PmtTpInf/CtgyPurp").val("Cd"),
		InstructionID:   t.val("PmtId/InstrId"), EndToEndID: readEndToEnd(t.val("PmtId/EndToEndId")),
		TransactionID: t.val("PmtId/TxId"), UETR: t.val("PmtId/UETR"),
		Amount: r.money(t.at("IntrBkSttlmAmt")), AcceptedAt: stamp(t.at("AccptncDtTm")),
		Debtor: readParty(t.at("Dbtr")), DebtorAccount: r.account(t.at("DbtrAcct")).IBAN, DebtorAgent: readAgent(t.at("DbtrAgt")),
		UltimateDebtor: readParty(t.at("UltmtDbtr")),
		CreditorAgent:  readAgent(t.at("CdtrAgt")), Creditor: readParty(t.at("Cdtr")), CreditorAccount: r.account(t.at("CdtrAcct")).IBAN,
		UltimateCreditor: readParty(t.at("UltmtCdtr")),
		Purpose:          t.val("Purp/Cd"), Remittance: readRemittance(t.at("RmtInf")),
	}
}

// either is what may stand in the header or in the transaction.
func either(head, tx *node, path string) *node {
	if n := head.at(path); n != nil {
		return n
	}
	return tx.at(path)
}
