package iso20022

import (
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Party is a person or an organisation: payer, payee, or who sends a message.
type Party struct {
	Name           string // at most 70 characters
	Address        Address
	BIC            string // of an organisation (AnyBIC)
	OrganisationID string // any other id of an organisation, e.g. PSDDE-BAFIN-123456
}

// Address is structured (fields) or hybrid (Town, Country and at most two
// Lines). An address needs at least Town and Country; the zero value is none.
type Address struct {
	Street, Building, PostBox string
	PostCode, Town            string
	Subdivision               string // state, province, county
	Country                   string // ISO 3166, two capital letters
	Lines                     []string
}

// Account is an account in a report. IBAN is set when the bank gives a valid
// one; Other holds any other number, and in lenient reading a wrong IBAN.
type Account struct {
	IBAN     psd2.IBAN
	Other    string
	Currency string
	Owner    string // name of the account holder
}

// Remittance is what the payer tells the payee: free text of at most 140
// characters, or a creditor reference (RF… by ISO 11649, or another one that
// the payee gave), never both.
type Remittance struct {
	Text      string
	Reference string
}

// Moment is a day, or a point in time where a bank gives one.
type Moment struct {
	Time    time.Time // UTC; midnight with DayOnly
	DayOnly bool
}

// Day is the moment that is a whole day.
func Day(t time.Time) Moment {
	y, m, d := t.UTC().Date()
	return Moment{Time: time.Date(y, m, d, 0, 0, 0, 0, time.UTC), DayOnly: true}
}

// Reason is why somebody refused, returned or recalls: a code of an ISO
// external code set, or a bank's own words.
type Reason struct {
	Code        string // e.g. AC04
	Proprietary string // when there is no code
	OriginBIC   string // the bank that decided
	OriginName  string // or the person
	Info        []string
}

// Original names the message that an answer is about.
type Original struct {
	MessageID string
	Message   string    // e.g. "pacs.008.001.08"
	CreatedAt time.Time // zero when not told
}

// notProvided stands in a mandatory field for "there is none". It is not a
// key: many payments share it, so reading it yields "".
const notProvided = "NOTPROVIDED"

func endToEnd(id string) string {
	if id == "" {
		return notProvided
	}
	return id
}

func readEndToEnd(id string) string {
	if id == notProvided {
		return ""
	}
	return id
}

func (p Party) node(tag string) *node {
	return el(tag,
		leaf("Nm", p.Name),
		p.Address.node(),
		el("Id", el("OrgId", leaf("AnyBIC", p.BIC), inner("Othr/Id", p.OrganisationID))))
}

// eitherNode is a party where ISO also allows a bank in its place.
func (p Party) eitherNode(tag string) *node { return el(tag, p.node("Pty")) }

func readParty(n *node) Party {
	if n == nil {
		return Party{}
	}
	if pty := n.at("Pty"); pty != nil {
		n = pty
	}
	return Party{
		Name:           n.val("Nm") + n.val("Agt/FinInstnId/Nm"),
		Address:        readAddress(n.at("PstlAdr")),
		BIC:            n.val("Id/OrgId/AnyBIC") + n.val("Agt/FinInstnId/BICFI"),
		OrganisationID: n.val("Id/OrgId/Othr/Id"),
	}
}

func (a Address) node() *node {
	kids := []*node{
		leaf("StrtNm", a.Street), leaf("BldgNb", a.Building), leaf("PstBx", a.PostBox), leaf("PstCd", a.PostCode),
		leaf("TwnNm", a.Town), leaf("CtrySubDvsn", a.Subdivision), leaf("Ctry", a.Country),
	}
	return el("PstlAdr", append(kids, list(a.Lines, func(l string) *node { return leaf("AdrLine", l) })...)...)
}

func readAddress(n *node) Address {
	return Address{
		Street: n.val("StrtNm"), Building: n.val("BldgNb"), PostBox: n.val("PstBx"), PostCode: n.val("PstCd"),
		Town: n.val("TwnNm"), Subdivision: n.val("CtrySubDvsn"), Country: n.val("Ctry"), Lines: textsOf(n.all("AdrLine")),
	}
}

// textsOf returns the text of each node, nil for none.
func textsOf(nodes []*node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.text)
	}
	return out
}

func ibanNode(tag string, iban psd2.IBAN) *node { return el(tag, inner("Id/IBAN", string(iban))) }

func (a Account) node(tag string, owner *node) *node {
	id := el("Id", leaf("IBAN", string(a.IBAN)))
	if a.IBAN == "" {
		id = el("Id", inner("Othr/Id", a.Other))
	}
	return el(tag, id, leaf("Ccy", a.Currency), owner)
}

func (r *reader) account(n *node) Account {
	a := Account{Other: n.val("Id/Othr/Id"), Currency: n.val("Ccy"), Owner: n.val("Ownr/Nm")}
	if raw := n.val("Id/IBAN"); raw != "" {
		iban, err := psd2.ParseIBAN(raw)
		if a.IBAN = iban; err != nil {
			a.Other = raw
			r.ignored++
		}
	}
	return a
}

// agentNode is a bank by its BIC; where one is mandatory and unknown, the
// customer's bank finds it from the IBAN.
func agentNode(tag, bic string) *node { return el(tag, inner("FinInstnId/BICFI", bic)) }

func agentOrUnknown(tag, bic string) *node {
	if bic == "" {
		return el(tag, inner("FinInstnId/Othr/Id", notProvided))
	}
	return agentNode(tag, bic)
}

func readAgent(n *node) string { return n.val("FinInstnId/BICFI") }

func (r Remittance) node() *node {
	var strd *node
	if r.Reference != "" {
		issuer := ""
		if psd2.IsCreditorReference(r.Reference) {
			issuer = "ISO"
		}
		strd = el("Strd", el("CdtrRefInf",
			el("Tp", inner("CdOrPrtry/Cd", "SCOR"), leaf("Issr", issuer)),
			leaf("Ref", r.Reference)))
	}
	return el("RmtInf", leaf("Ustrd", r.Text), strd)
}

func readRemittance(n *node) Remittance {
	return Remittance{
		Text:      strings.Join(textsOf(n.all("Ustrd")), " "),
		Reference: n.val("Strd/CdtrRefInf/Ref"),
	}
}

func (m Moment) node(tag string) *node {
	if m.DayOnly {
		return el(tag, dayLeaf("Dt", m.Time))
	}
	return el(tag, stampLeaf("DtTm", m.Time))
}

func readMoment(n *node) Moment {
	switch {
	case n.at("Dt") != nil:
		return Moment{Time: day(n.at("Dt")), DayOnly: true}
	case n.at("DtTm") != nil:
		return Moment{Time: stamp(n.at("DtTm"))}
	}
	return Moment{}
}

func (r Reason) node(tag string) *node {
	code := leaf("Prtry", r.Proprietary)
	if r.Code != "" {
		code = leaf("Cd", r.Code)
	}
	kids := []*node{Party{Name: r.OriginName, BIC: r.OriginBIC}.node("Orgtr"), el("Rsn", code)}
	return el(tag, append(kids, list(r.Info, func(s string) *node { return leaf("AddtlInf", s) })...)...)
}

func reasonNodes(tag string, reasons []Reason) []*node {
	return list(reasons, func(r Reason) *node { return r.node(tag) })
}

func readReasons(nodes []*node) []Reason {
	var out []Reason
	for _, n := range nodes {
		out = append(out, Reason{
			Code: n.val("Rsn/Cd"), Proprietary: n.val("Rsn/Prtry"),
			OriginBIC: n.val("Orgtr/Id/OrgId/AnyBIC"), OriginName: n.val("Orgtr/Nm"),
			Info: textsOf(n.all("AddtlInf")),
		})
	}
	return out
}

func (o Original) node(tag string) *node {
	return el(tag, leaf("OrgnlMsgId", o.MessageID), leaf("OrgnlMsgNmId", o.Message), stampLeaf("OrgnlCreDtTm", o.CreatedAt))
}

func readOriginal(n *node) Original {
	return Original{MessageID: n.val("OrgnlMsgId"), Message: n.val("OrgnlMsgNmId"), CreatedAt: stamp(n.at("OrgnlCreDtTm"))}
}

// sepaInstant is the payment type of every SEPA Instant transfer.
func sepaInstant(categoryPurpose string) *node {
	return el("PmtTpInf", inner("SvcLvl/Cd", "SEPA"), inner("LclInstrm/Cd", "INST"), inner("CtgyPurp/Cd", categoryPurpose))
}
