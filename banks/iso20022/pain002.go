package iso20022

import "time"

// InitiationStatus is pain.002: the bank's answer to an Initiation.
type InitiationStatus struct {
	MessageID   string
	CreatedAt   time.Time
	DebtorAgent string // BIC
	Group       GroupStatus
	Batches     []BatchStatus
	Ignored     int // departures from the schema that lenient reading passed over
}

// BatchStatus is the answer to one batch and its orders.
type BatchStatus struct {
	OriginalID   string
	Status       string
	Reasons      []Reason
	Transactions []TransactionStatus
}

// Name implements Message.
func (*InitiationStatus) Name() string { return nameInitiationStatus }

func (m *InitiationStatus) body() *node {
	kids := []*node{
		el("GrpHdr", leaf("MsgId", m.MessageID), stampLeaf("CreDtTm", m.CreatedAt), agentNode("DbtrAgt", m.DebtorAgent)),
		m.Group.node(),
	}
	return el("CstmrPmtStsRpt", append(kids, list(m.Batches, BatchStatus.node)...)...)
}

func (b BatchStatus) node() *node {
	kids := []*node{leaf("OrgnlPmtInfId", b.OriginalID), leaf("PmtInfSts", b.Status)}
	kids = append(kids, reasonNodes("StsRsnInf", b.Reasons)...)
	return el("OrgnlPmtInfAndSts", append(kids, list(b.Transactions, TransactionStatus.node)...)...)
}

func (m *InitiationStatus) fill(r *reader, d *doc) {
	head := d.body.at("GrpHdr")
	*m = InitiationStatus{
		MessageID: head.val("MsgId"), CreatedAt: d.created, DebtorAgent: readAgent(head.at("DbtrAgt")),
		Group: readGroupStatus(d.body.at("OrgnlGrpInfAndSts")),
	}
	for _, n := range d.body.all("OrgnlPmtInfAndSts") {
		m.Batches = append(m.Batches, BatchStatus{
			OriginalID: n.val("OrgnlPmtInfId"), Status: n.val("PmtInfSts"),
			Reasons: readReasons(n.all("StsRsnInf")), Transactions: readTransactionStatuses(n.all("TxInfAndSts")),
		})
	}
	m.Ignored = r.ignored
}

// Outcome is the bank's answer to one order, found by its EndToEndId: the
// transaction's status, else its batch's, else the group's, each with the
// nearest reasons. An order that no transaction of the report names has the
// status of the only batch, if that names none at all, else the group's. The
// status may be empty.
func (m *InitiationStatus) Outcome(endToEndID string) (status string, reasons []Reason) {
	for _, b := range m.Batches {
		for _, t := range b.Transactions {
			if endToEndID != "" && t.EndToEndID == endToEndID {
				return nearest(answer{t.Status, t.Reasons}, answer{b.Status, b.Reasons}, answer{m.Group.Status, m.Group.Reasons})
			}
		}
	}
	if len(m.Batches) == 1 && len(m.Batches[0].Transactions) == 0 {
		return nearest(answer{m.Batches[0].Status, m.Batches[0].Reasons}, answer{m.Group.Status, m.Group.Reasons})
	}
	return m.Group.Status, m.Group.Reasons
}

type answer struct {
	status  string
	reasons []Reason
}

// nearest takes the first status there is, and the first reasons from there on.
func nearest(answers ...answer) (status string, reasons []Reason) {
	for _, a := range answers {
		if status == "" {
			status = a.status
		}
		if status != "" && len(reasons) == 0 {
			reasons = a.reasons
		}
	}
	return status, reasons
}
