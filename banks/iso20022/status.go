package iso20022

import "time"

// GroupStatus is a bank's answer to a whole message. Status may be empty when
// only transactions are answered.
type GroupStatus struct {
	Original Original
	Status   string
	Reasons  []Reason
}

// TransactionStatus is a bank's answer to one transaction. The ids are those
// of the transaction asked about; empty ones were not given.
type TransactionStatus struct {
	ID            string // the answer's own
	InstructionID string
	EndToEndID    string
	TransactionID string // pacs.002 only
	UETR          string
	Status        string
	Reasons       []Reason
	AcceptedAt    time.Time
	DebtorAgent   string // BIC; pacs.002 only
}

func (g GroupStatus) node() *node {
	kids := []*node{
		leaf("OrgnlMsgId", g.Original.MessageID), leaf("OrgnlMsgNmId", g.Original.Message), stampLeaf("OrgnlCreDtTm", g.Original.CreatedAt),
		leaf("GrpSts", g.Status),
	}
	return el("OrgnlGrpInfAndSts", append(kids, reasonNodes("StsRsnInf", g.Reasons)...)...)
}

func readGroupStatus(n *node) GroupStatus {
	return GroupStatus{Original: readOriginal(n), Status: n.val("GrpSts"), Reasons: readReasons(n.all("StsRsnInf"))}
}

func (t TransactionStatus) node() *node {
	kids := []*node{
		leaf("StsId", t.ID), leaf("OrgnlInstrId", t.InstructionID), leaf("OrgnlEndToEndId", t.EndToEndID),
		leaf("OrgnlTxId", t.TransactionID), leaf("OrgnlUETR", t.UETR), leaf("TxSts", t.Status),
	}
	kids = append(kids, reasonNodes("StsRsnInf", t.Reasons)...)
	kids = append(kids, stampLeaf("AccptncDtTm", t.AcceptedAt))
	if t.DebtorAgent != "" {
		kids = append(kids, el("OrgnlTxRef", sepaInstant(""), agentNode("DbtrAgt", t.DebtorAgent)))
	}
	return el("TxInfAndSts", kids...)
}

func readTransactionStatuses(nodes []*node) []TransactionStatus {
	var out []TransactionStatus
	for _, n := range nodes {
		out = append(out, TransactionStatus{
			ID: n.val("StsId"), InstructionID: n.val("OrgnlInstrId"), EndToEndID: readEndToEnd(n.val("OrgnlEndToEndId")),
			TransactionID: n.val("OrgnlTxId"), UETR: n.val("OrgnlUETR"), Status: n.val("TxSts"),
			Reasons: readReasons(n.all("StsRsnInf")), AcceptedAt: stamp(n.at("AccptncDtTm")),
			DebtorAgent: readAgent(n.at("OrgnlTxRef/DbtrAgt")),
		})
	}
	return out
}
