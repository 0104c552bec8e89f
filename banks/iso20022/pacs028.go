package iso20022

import "time"

// StatusRequest is pacs.028: what became of a transfer that nobody answered?
type StatusRequest struct {
	MessageID string
	CreatedAt time.Time
	Inquiries []Inquiry
}

// Inquiry asks about one transfer.
type Inquiry struct {
	ID            string
	Original      Original
	InstructionID string
	EndToEndID    string
	TransactionID string
	UETR          string
	AcceptedAt    time.Time // of the transfer asked about; may be zero
}

// Name implements Message.
func (*StatusRequest) Name() string { return nameStatusRequest }

func (m *StatusRequest) body() *node {
	kids := []*node{el("GrpHdr", leaf("MsgId", m.MessageID), stampLeaf("CreDtTm", m.CreatedAt))}
	return el("FIToFIPmtStsReq", append(kids, list(m.Inquiries, Inquiry.node)...)...)
}

func (q Inquiry) node() *node {
	return el("TxInf",
		leaf("StsReqId", q.ID), q.Original.node("OrgnlGrpInf"), leaf("OrgnlInstrId", q.InstructionID),
		leaf("OrgnlEndToEndId", q.EndToEndID), leaf("OrgnlTxId", q.TransactionID), leaf("OrgnlUETR", q.UETR),
		stampLeaf("AccptncDtTm", q.AcceptedAt))
}

func (m *StatusRequest) fill(_ *reader, d *doc) {
	m.MessageID, m.CreatedAt = d.body.val("GrpHdr/MsgId"), d.created
	for _, n := range d.body.all("TxInf") {
		q := Inquiry{
			ID: n.val("StsReqId"), Original: readOriginal(n.at("OrgnlGrpInf")), InstructionID: n.val("OrgnlInstrId"),
			EndToEndID: readEndToEnd(n.val("OrgnlEndToEndId")), TransactionID: n.val("OrgnlTxId"), UETR: n.val("OrgnlUETR"),
			AcceptedAt: stamp(n.at("AccptncDtTm")),
		}
		if q.Original == (Original{}) { // then it stands once, for all
			q.Original = readOriginal(d.body.at("OrgnlGrpInf"))
		}
		m.Inquiries = append(m.Inquiries, q)
	}
}
