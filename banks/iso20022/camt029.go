package iso20022

import "time"

// RecallAnswer is camt.029: the payee's bank declines a Recall. It agrees with
// a Return instead.
type RecallAnswer struct {
	ID        string // of the assignment
	CreatedAt time.Time
	From, To  string // BICs
	Status    string // RJCR: declined
	Decisions []RecallDecision
	Ignored   int // departures from the schema that lenient reading passed over
}

// RecallDecision is the answer for one transfer.
type RecallDecision struct {
	ID            string
	Original      Original
	EndToEndID    string
	TransactionID string
	UETR          string
	Status        string // RJCR, ACCR or PDCR; may be empty
	Reasons       []Reason
}

// Name implements Message.
func (*RecallAnswer) Name() string { return nameRecallAnswer }

func (m *RecallAnswer) body() *node {
	return el("RsltnOfInvstgtn",
		assignment(m.ID, m.From, m.To, m.CreatedAt),
		inner("Sts/Conf", m.Status),
		el("CxlDtls", list(m.Decisions, RecallDecision.node)...))
}

func (t RecallDecision) node() *node {
	kids := []*node{
		leaf("CxlStsId", t.ID), t.Original.node("OrgnlGrpInf"), leaf("OrgnlEndToEndId", t.EndToEndID),
		leaf("OrgnlTxId", t.TransactionID), leaf("OrgnlUETR", t.UETR), leaf("TxCxlSts", t.Status),
	}
	return el("TxInfAndSts", append(kids, reasonNodes("CxlStsRsnInf", t.Reasons)...)...)
}

func (m *RecallAnswer) fill(r *reader, d *doc) {
	m.ID, m.From, m.To = readAssignment(d.body.at("Assgnmt"))
	m.CreatedAt, m.Status = d.created, d.body.val("Sts/Conf")
	for _, u := range d.body.all("CxlDtls") {
		for _, n := range u.all("TxInfAndSts") {
			m.Decisions = append(m.Decisions, RecallDecision{
				ID: n.val("CxlStsId"), Original: readOriginal(n.at("OrgnlGrpInf")),
				EndToEndID: readEndToEnd(n.val("OrgnlEndToEndId")), TransactionID: n.val("OrgnlTxId"), UETR: n.val("OrgnlUETR"),
				Status: n.val("TxCxlSts"), Reasons: readReasons(n.all("CxlStsRsnInf")),
			})
		}
	}
	m.Ignored = r.ignored
}
