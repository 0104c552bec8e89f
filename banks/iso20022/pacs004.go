package iso20022

import (
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Return is pacs.004: the payee's bank sends money back, the positive answer
// to a Recall.
type Return struct {
	MessageID      string
	CreatedAt      time.Time
	SettlementDate time.Time // midnight UTC
	Transfers      []ReturnedTransfer
}

// ReturnedTransfer is one transfer that comes back. Amount may be less than
// OriginalAmount.
type ReturnedTransfer struct {
	ID             string
	Original       Original
	EndToEndID     string // as in the original transfer
	TransactionID  string // as in the original transfer
	UETR           string
	OriginalAmount psd2.Money
	Amount         psd2.Money
	Reasons        []Reason
}

// Name implements Message.
func (*Return) Name() string { return nameReturn }

func (m *Return) body() *node {
	sum := psd2.Euro(0)
	for _, t := range m.Transfers {
		sum, _ = sum.Add(psd2.Euro(t.Amount.AmountMinor)) // a sum too large fails the rule control-sum
	}
	kids := []*node{el("GrpHdr",
		leaf("MsgId", m.MessageID), stampLeaf("CreDtTm", m.CreatedAt), leaf("NbOfTxs", strconv.Itoa(len(m.Transfers))),
		moneyLeaf("TtlRtrdIntrBkSttlmAmt", sum), dayLeaf("IntrBkSttlmDt", m.SettlementDate),
		el("SttlmInf", leaf("SttlmMtd", "CLRG")))}
	return el("PmtRtr", append(kids, list(m.Transfers, ReturnedTransfer.node)...)...)
}

func (t ReturnedTransfer) node() *node {
	kids := []*node{
		leaf("RtrId", t.ID), t.Original.node("OrgnlGrpInf"),
		leaf("OrgnlEndToEndId", t.EndToEndID), leaf("OrgnlTxId", t.TransactionID), leaf("OrgnlUETR", t.UETR),
		moneyLeaf("OrgnlIntrBkSttlmAmt", t.OriginalAmount), moneyLeaf("RtrdIntrBkSttlmAmt", t.Amount), leaf("ChrgBr", "SLEV"),
	}
	return el("TxInf", append(kids, reasonNodes("RtrRsnInf", t.Reasons)...)...)
}

func (m *Return) fill(r *reader, d *doc) {
	head := d.body.at("GrpHdr")
	m.MessageID, m.CreatedAt, m.SettlementDate = head.val("MsgId"), d.created, day(head.at("IntrBkSttlmDt"))
	for _, n := range d.body.all("TxInf") {
		t := ReturnedTransfer{
			ID: n.val("RtrId"), Original: readOriginal(n.at("OrgnlGrpInf")),
			EndToEndID: readEndToEnd(n.val("OrgnlEndToEndId")), TransactionID: n.val("OrgnlTxId"), UETR: n.val("OrgnlUETR"),
			OriginalAmount: r.money(n.at("OrgnlIntrBkSttlmAmt")), Amount: r.money(n.at("RtrdIntrBkSttlmAmt")),
			Reasons: readReasons(n.all("RtrRsnInf")),
		}
		if t.Original == (Original{}) { // then it stands once, for all
			t.Original = readOriginal(d.body.at("OrgnlGrpInf"))
			if len(t.Reasons) == 0 {
				t.Reasons = readReasons(d.body.at("OrgnlGrpInf").all("RtrRsnInf"))
			}
		}
		m.Transfers = append(m.Transfers, t)
	}
}
