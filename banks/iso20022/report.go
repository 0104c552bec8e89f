package iso20022

import (
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Direction says whether an account gains or loses.
type Direction string

// The directions.
const (
	Credit Direction = "CRDT"
	Debit  Direction = "DBIT"
)

// Report is what a bank tells about one account: a statement of a day, or a
// notification of single entries.
type Report struct {
	ID        string
	Sequence  int64 // electronic sequence number; zero when not told
	CreatedAt time.Time
	Account   Account
	Balances  []Balance // statements only
	Entries   []Entry
}

// Balance is the account's balance at the beginning (OPBD) or end (CLBD) of
// the report, or another one the bank adds.
type Balance struct {
	Code      string
	Amount    psd2.Money // not negative; Direction tells
	Direction Direction
	At        Moment
}

// Entry is one line of the account. Amount is not negative.
type Entry struct {
	Reference         string // of the entry
	Amount            psd2.Money
	Direction         Direction
	Reversal          bool   // takes back an earlier entry
	Status            string // BOOK, PDNG, FUTR or INFO
	BookedAt, ValueAt Moment
	ServicerReference string // the bank's own; tells two entries apart
	Kind              TransactionKind
	Transactions      []Transaction
	Info              string
}

// TransactionKind is the ISO bank transaction code, e.g. PMNT RRCT ESCT for a
// received SEPA transfer, or the bank's own.
type TransactionKind struct {
	Domain, Family, SubFamily string
	Proprietary               string
}

// Transaction is one payment within an entry. An empty EndToEndID was not
// given; it is never a key.
type Transaction struct {
	MessageID, BatchID, InstructionID string
	EndToEndID, TransactionID, UETR   string
	ServicerReference                 string
	Amount                            psd2.Money // zero when the entry's holds
	Direction                         Direction
	Debtor, Creditor                  Party
	DebtorAccount, CreditorAccount    Account
	DebtorAgent, CreditorAgent        string // BICs
	Remittance                        Remittance
	ReturnReason                      string // of money that came back, e.g. FOCR
}

func (p Report) node(tag string) *node {
	sequence := ""
	if p.Sequence != 0 {
		sequence = strconv.FormatInt(p.Sequence, 10)
	}
	kids := []*node{
		leaf("Id", p.ID), leaf("ElctrncSeqNb", sequence), stampLeaf("CreDtTm", p.CreatedAt),
		p.Account.node("Acct", el("Ownr", leaf("Nm", p.Account.Owner))),
	}
	kids = append(kids, list(p.Balances, Balance.node)...)
	return el(tag, append(kids, list(p.Entries, Entry.node)...)...)
}

func (b Balance) node() *node {
	return el("Bal", inner("Tp/CdOrPrtry/Cd", b.Code), always("Amt", b.Amount), leaf("CdtDbtInd", string(b.Direction)), b.At.node("Dt"))
}

// always writes an amount that is mandatory, be it zero.
func always(tag string, m psd2.Money) *node {
	return &node{name: tag, text: m.Decimal(), ccy: m.Currency, hasCcy: true}
}

func (e Entry) node() *node {
	reversal := ""
	if e.Reversal {
		reversal = "true"
	}
	return el("Ntry",
		leaf("NtryRef", e.Reference), always("Amt", e.Amount), leaf("CdtDbtInd", string(e.Direction)), leaf("RvslInd", reversal),
		inner("Sts/Cd", e.Status), e.BookedAt.node("BookgDt"), e.ValueAt.node("ValDt"), leaf("AcctSvcrRef", e.ServicerReference),
		e.Kind.node(),
		el("NtryDtls", list(e.Transactions, Transaction.node)...),
		leaf("AddtlNtryInf", e.Info))
}

// node is never nil: ISO demands the element even where nothing is known.
func (k TransactionKind) node() *node {
	n := &node{name: "BkTxCd"}
	domain := el("Domn", leaf("Cd", k.Domain), el("Fmly", leaf("Cd", k.Family), leaf("SubFmlyCd", k.SubFamily)))
	for _, kid := range []*node{domain, inner("Prtry/Cd", k.Proprietary)} {
		if kid != nil {
			n.kids = append(n.kids, kid)
		}
	}
	return n
}

func (t Transaction) node() *node {
	return el("TxDtls",
		el("Refs", leaf("MsgId", t.MessageID), leaf("AcctSvcrRef", t.ServicerReference), leaf("PmtInfId", t.BatchID), leaf("InstrId", t.InstructionID),
			leaf("EndToEndId", endToEnd(t.EndToEndID)), leaf("UETR", t.UETR), leaf("TxId", t.TransactionID)),
		moneyLeaf("Amt", t.Amount), leaf("CdtDbtInd", string(t.Direction)),
		el("RltdPties",
			t.Debtor.eitherNode("Dbtr"), t.DebtorAccount.node("DbtrAcct", nil),
			t.Creditor.eitherNode("Cdtr"), t.CreditorAccount.node("CdtrAcct", nil)),
		el("RltdAgts", agentNode("DbtrAgt", t.DebtorAgent), agentNode("CdtrAgt", t.CreditorAgent)),
		t.Remittance.node(),
		inner("RtrInf/Rsn/Cd", t.ReturnReason))
}

func (r *reader) reports(nodes []*node) []Report {
	var out []Report
	for _, n := range nodes {
		p := Report{ID: n.val("Id"), CreatedAt: stamp(n.at("CreDtTm")), Account: r.account(n.at("Acct"))}
		p.Sequence, _ = strconv.ParseInt(trim(n.val("ElctrncSeqNb")), 10, 64) // a number by the schema; no sequence is worse than an odd one
		for _, b := range n.all("Bal") {
			p.Balances = append(p.Balances, Balance{
				Code:   b.val("Tp/CdOrPrtry/Cd") + b.val("Tp/CdOrPrtry/Prtry"),
				Amount: r.money(b.at("Amt")), Direction: Direction(b.val("CdtDbtInd")), At: readMoment(b.at("Dt")),
			})
		}
		for _, e := range n.all("Ntry") {
			p.Entries = append(p.Entries, r.entry(e))
		}
		out = append(out, p)
	}
	return out
}

func (r *reader) entry(n *node) Entry {
	reversal := trim(n.val("RvslInd"))
	e := Entry{
		Reference: n.val("NtryRef"), Amount: r.money(n.at("Amt")), Direction: Direction(n.val("CdtDbtInd")),
		Reversal: reversal == "true" || reversal == "1",
		Status:   n.val("Sts/Cd") + n.val("Sts/Prtry"),
		BookedAt: readMoment(n.at("BookgDt")), ValueAt: readMoment(n.at("ValDt")),
		ServicerReference: n.val("AcctSvcrRef"), Info: n.val("AddtlNtryInf"),
	}
	k := n.at("BkTxCd")
	e.Kind = TransactionKind{k.val("Domn/Cd"), k.val("Domn/Fmly/Cd"), k.val("Domn/Fmly/SubFmlyCd"), k.val("Prtry/Cd")}
	for _, details := range n.all("NtryDtls") {
		for _, t := range details.all("TxDtls") {
			e.Transactions = append(e.Transactions, r.transaction(t))
		}
	}
	return e
}

func (r *reader) transaction(n *node) Transaction {
	refs, parties, agents := n.at("Refs"), n.at("RltdPties"), n.at("RltdAgts")
	return Transaction{
		MessageID: refs.val("MsgId"), BatchID: refs.val("PmtInfId"), InstructionID: refs.val("InstrId"),
		EndToEndID: readEndToEnd(refs.val("EndToEndId")), TransactionID: refs.val("TxId"), UETR: refs.val("UETR"),
		ServicerReference: refs.val("AcctSvcrRef"),
		Amount:            r.money(n.at("Amt")), Direction: Direction(n.val("CdtDbtInd")),
		Debtor: readParty(parties.at("Dbtr")), DebtorAccount: r.account(parties.at("DbtrAcct")),
		Creditor: readParty(parties.at("Cdtr")), CreditorAccount: r.account(parties.at("CdtrAcct")),
		DebtorAgent: readAgent(agents.at("DbtrAgt")), CreditorAgent: readAgent(agents.at("CdtrAgt")),
		Remittance:   readRemittance(n.at("RmtInf")),
		ReturnReason: n.val("RtrInf/Rsn/Cd"),
	}
}
