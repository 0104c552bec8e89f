package iso20022

import "time"

// Notification is camt.054: money has come in or gone out. It is how the hub
// learns that a deposit reached the merchant's account.
type Notification struct {
	MessageID string
	CreatedAt time.Time
	Reports   []Report // without balances
	Ignored   int      // departures from the schema that lenient reading passed over
}

// Name implements Message.
func (*Notification) Name() string { return nameNotification }

func (m *Notification) body() *node {
	kids := []*node{el("GrpHdr", leaf("MsgId", m.MessageID), stampLeaf("CreDtTm", m.CreatedAt))}
	return el("BkToCstmrDbtCdtNtfctn", append(kids, list(m.Reports, func(p Report) *node { return p.node("Ntfctn") })...)...)
}

func (m *Notification) fill(r *reader, d *doc) {
	m.MessageID, m.CreatedAt = d.body.val("GrpHdr/MsgId"), d.created
	m.Reports = r.reports(d.body.all("Ntfctn"))
	m.Ignored = r.ignored
}
