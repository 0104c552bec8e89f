package iso20022

import "time"

// TransferStatus is pacs.002: the payee's bank accepts (ACCP) or rejects
// (RJCT) an InterbankTransfer.
type TransferStatus struct {
	MessageID        string
	CreatedAt        time.Time
	InstructingAgent string // BIC; may be empty
	InstructedAgent  string // BIC; may be empty
	Groups           []GroupStatus
	Transactions     []TransactionStatus
}

// Name implements Message.
func (*TransferStatus) Name() string { return nameTransferStatus }

func (m *TransferStatus) body() *node {
	kids := []*node{el("GrpHdr", leaf("MsgId", m.MessageID), stampLeaf("CreDtTm", m.CreatedAt),
		agentNode("InstgAgt", m.InstructingAgent), agentNode("InstdAgt", m.InstructedAgent))}
	kids = append(kids, list(m.Groups, GroupStatus.node)...)
	return el("FIToFIPmtStsRpt", append(kids, list(m.Transactions, TransactionStatus.node)...)...)
}

func (m *TransferStatus) fill(_ *reader, d *doc) {
	head := d.body.at("GrpHdr")
	*m = TransferStatus{
		MessageID: head.val("MsgId"), CreatedAt: d.created,
		InstructingAgent: readAgent(head.at("InstgAgt")), InstructedAgent: readAgent(head.at("InstdAgt")),
		Transactions: readTransactionStatuses(d.body.all("TxInfAndSts")),
	}
	for _, n := range d.body.all("OrgnlGrpInfAndSts") {
		m.Groups = append(m.Groups, readGroupStatus(n))
	}
}
