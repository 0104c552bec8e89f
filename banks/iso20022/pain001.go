package iso20022

import (
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Initiation is pain.001: a customer orders his bank to make SEPA Instant
// credit transfers.
type Initiation struct {
	MessageID string // ours; the bank's duplicate check goes by it
	CreatedAt time.Time
	Initiator Party
	Batches   []Batch
}

// Batch is what one payer account pays on one day (PmtInf).
type Batch struct {
	ID              string
	ExecuteAt       Moment
	Debtor          Party
	DebtorAccount   psd2.IBAN
	DebtorAgent     string // BIC; may be empty
	UltimateDebtor  Party
	CategoryPurpose string // ISO external code, e.g. CASH
	Orders          []Order
}

// Order is one transfer of a batch.
type Order struct {
	InstructionID    string
	EndToEndID       string // reaches the payee; empty is written as NOTPROVIDED
	UETR             string // UUIDv4, small letters; may be empty
	Amount           psd2.Money
	CreditorAgent    string // BIC; may be empty
	Creditor         Party
	CreditorAccount  psd2.IBAN
	UltimateDebtor   Party
	UltimateCreditor Party
	Purpose          string // ISO external code
	Remittance       Remittance
}

// Name implements Message.
func (*Initiation) Name() string { return nameInitiation }

func (m *Initiation) body() *node {
	count, sum := 0, psd2.Euro(0)
	for _, b := range m.Batches {
		n, s := b.total()
		count += n
		sum, _ = sum.Add(s) // a sum too large fails the rule control-sum
	}
	kids := []*node{el("GrpHdr",
		leaf("MsgId", m.MessageID), stampLeaf("CreDtTm", m.CreatedAt),
		leaf("NbOfTxs", strconv.Itoa(count)), leaf("CtrlSum", sum.Decimal()),
		m.Initiator.node("InitgPty"))}
	return el("CstmrCdtTrfInitn", append(kids, list(m.Batches, Batch.node)...)...)
}

func (b Batch) total() (int, psd2.Money) {
	sum := psd2.Euro(0)
	for _, o := range b.Orders {
		sum, _ = sum.Add(psd2.Euro(o.Amount.AmountMinor))
	}
	return len(b.Orders), sum
}

func (b Batch) node() *node {
	count, sum := b.total()
	kids := []*node{
		leaf("PmtInfId", b.ID), leaf("PmtMtd", "TRF"),
		leaf("NbOfTxs", strconv.Itoa(count)), leaf("CtrlSum", sum.Decimal()),
		sepaInstant(b.CategoryPurpose), b.ExecuteAt.node("ReqdExctnDt"),
		b.Debtor.node("Dbtr"), ibanNode("DbtrAcct", b.DebtorAccount), agentOrUnknown("DbtrAgt", b.DebtorAgent),
		b.UltimateDebtor.node("UltmtDbtr"), leaf("ChrgBr", "SLEV"),
	}
	return el("PmtInf", append(kids, list(b.Orders, Order.node)...)...)
}

func (o Order) node() *node {
	return el("CdtTrfTxInf",
		el("PmtId", leaf("InstrId", o.InstructionID), leaf("EndToEndId", endToEnd(o.EndToEndID)), leaf("UETR", o.UETR)),
		el("Amt", moneyLeaf("InstdAmt", o.Amount)),
		o.UltimateDebtor.node("UltmtDbtr"),
		agentNode("CdtrAgt", o.CreditorAgent),
		o.Creditor.node("Cdtr"), ibanNode("CdtrAcct", o.CreditorAccount),
		o.UltimateCreditor.node("UltmtCdtr"),
		inner("Purp/Cd", o.Purpose), o.Remittance.node())
}

func (m *Initiation) fill(r *reader, d *doc) {
	head := d.body.at("GrpHdr")
	m.MessageID, m.CreatedAt = head.val("MsgId"), d.created
	m.Initiator = readParty(head.at("InitgPty"))
	for _, n := range d.body.all("PmtInf") {
		m.Batches = append(m.Batches, r.batch(n))
	}
}

func (r *reader) batch(n *node) Batch {
	b := Batch{
		ID: n.val("PmtInfId"), ExecuteAt: readMoment(n.at("ReqdExctnDt")),
		Debtor: readParty(n.at("Dbtr")), DebtorAccount: r.account(n.at("DbtrAcct")).IBAN, DebtorAgent: readAgent(n.at("DbtrAgt")),
		UltimateDebtor:  readParty(n.at("UltmtDbtr")),
		CategoryPurpose: n.val("PmtTpInf/CtgyPurp/Cd"),
	}
	for _, t := range n.all("CdtTrfTxInf") {
		b.Orders = append(b.Orders, Order{
			InstructionID: t.val("PmtId/InstrId"), EndToEndID: readEndToEnd(t.val("PmtId/EndToEndId")), UETR: t.val("PmtId/UETR"),
			Amount:        r.money(t.at("Amt/InstdAmt")),
			CreditorAgent: readAgent(t.at("CdtrAgt")), Creditor: readParty(t.at("Cdtr")), CreditorAccount: r.account(t.at("CdtrAcct")).IBAN,
			UltimateDebtor: readParty(t.at("UltmtDbtr")), UltimateCreditor: readParty(t.at("UltmtCdtr")),
			Purpose: t.val("Purp/Cd"), Remittance: readRemittance(t.at("RmtInf")),
		})
	}
	return b
}
