package iso20022

import (
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Recall is camt.056: the payer's bank asks for the money back. Reasons of the
// bank are DUPL, TECH and FRAD, reasons of the payer CUST, AC03 and AM09.
type Recall struct {
	ID        string // of the assignment
	CreatedAt time.Time
	From, To  string // BICs
	Transfers []RecalledTransfer
	Ignored   int // departures from the schema that lenient reading passed over
}

// RecalledTransfer is one transfer that is wanted back.
type RecalledTransfer struct {
	ID             string
	Original       Original
	EndToEndID     string
	TransactionID  string
	UETR           string
	Amount         psd2.Money // of the original transfer
	SettlementDate time.Time  // of the original transfer; midnight UTC
	Reasons        []Reason
}

// Name implements Message.
func (*Recall) Name() string { return nameRecall }

func (m *Recall) body() *node {
	return el("FIToFIPmtCxlReq",
		assignment(m.ID, m.From, m.To, m.CreatedAt),
		el("CtrlData", leaf("NbOfTxs", strconv.Itoa(len(m.Transfers)))),
		el("Undrlyg", list(m.Transfers, RecalledTransfer.node)...))
}

func (t RecalledTransfer) node() *node {
	kids := []*node{
		leaf("CxlId", t.ID), t.Original.node("OrgnlGrpInf"), leaf("OrgnlEndToEndId", t.EndToEndID), leaf("OrgnlTxId", t.TransactionID),
		leaf("OrgnlUETR", t.UETR), moneyLeaf("OrgnlIntrBkSttlmAmt", t.Amount), dayLeaf("OrgnlIntrBkSttlmDt", t.SettlementDate),
	}
	return el("TxInf", append(kids, reasonNodes("CxlRsnInf", t.Reasons)...)...)
}

func (m *Recall) fill(r *reader, d *doc) {
	m.ID, m.From, m.To = readAssignment(d.body.at("Assgnmt"))
	m.CreatedAt = d.created
	for _, u := range d.body.all("Undrlyg") {
		for _, n := range u.all("TxInf") {
			m.Transfers = append(m.Transfers, RecalledTransfer{
				ID: n.val("CxlId"), Original: readOriginal(n.at("OrgnlGrpInf")),
				EndToEndID: readEndToEnd(n.val("OrgnlEndToEndId")), TransactionID: n.val("OrgnlTxId"), UETR: n.val("OrgnlUETR"),
				Amount: r.money(n.at("OrgnlIntrBkSttlmAmt")), SettlementDate: day(n.at("OrgnlIntrBkSttlmDt")),
				Reasons: readReasons(n.all("CxlRsnInf")),
			})
		}
	}
	m.Ignored = r.ignored
}

// assignment says who asks whom, the head of both recall messages.
func assignment(id, from, to string, at time.Time) *node {
	return el("Assgnmt", leaf("Id", id), el("Assgnr", agentNode("Agt", from)), el("Assgne", agentNode("Agt", to)), stampLeaf("CreDtTm", at))
}

func readAssignment(n *node) (id, from, to string) {
	return n.val("Id"), readAgent(n.at("Assgnr/Agt")), readAgent(n.at("Assgne/Agt"))
}
