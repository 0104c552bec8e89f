package iso20022

import "time"

// Statement is camt.053: the booked entries of a period with the balances
// before and after, against which the hub's ledger is reconciled.
type Statement struct {
	MessageID string
	CreatedAt time.Time
	Reports   []Report
	Ignored   int // departures from the schema that lenient reading passed over
}

// Name implements Message.
func (*Statement) Name() string { return nameStatement }

func (m *Statement) body() *node {
	kids := []*node{el("GrpHdr", leaf("MsgId", m.MessageID), stampLeaf("CreDtTm", m.CreatedAt))}
	return el("BkToCstmrStmt", append(kids, list(m.Reports, func(p Report) *node { return p.node("Stmt") })...)...)
}

func (m *Statement) fill(r *reader, d *doc) {
	m.MessageID, m.CreatedAt = d.body.val("GrpHdr/MsgId"), d.created
	m.Reports = r.reports(d.body.all("Stmt"))
	m.Ignored = r.ignored
}
