package iso20022

import (
	"strings"
	"time"
)

// Rule is one usage rule of the SEPA Instant scheme: what a message that is
// valid by its schema must also keep.
type Rule struct {
	ID          string   `json:"id"`
	Explanation string   `json:"explanation"`
	Messages    []string `json:"messages,omitempty"` // e.g. "pacs.008"; empty: all ten
}

// rule is a Rule with its test, which returns the elements that break it. For
// a missing element it is the parent.
type rule struct {
	id    string
	where string // message families, separated by blanks; "" for all
	says  string
	broke func(*doc) []*node
}

// Rules lists the usage rules that Check and Write apply, in the order in
// which they are tested.
func Rules() []Rule {
	out := make([]Rule, len(rules))
	for i, r := range rules {
		out[i] = Rule{ID: r.id, Explanation: r.says, Messages: strings.Fields(r.where)}
	}
	return out
}

const (
	orders    = "pain.001 pacs.008"
	transfers = "pain.001 pacs.008 pacs.004 camt.056"
)

// rules follow the SCT Inst rulebook (EPC004-16 2025) and its implementation
// guidelines (EPC121-16 between customer and bank, EPC122-16 between banks).
var rules = []rule{
	{"amount-decimals", "", "an amount has digits, a point and at most two decimals", amountDecimals},
	{"currency", transfers, "the currency of a SEPA payment is EUR", currency},
	{"amount-range", transfers, "the amount lies between 0.01 and 999999999.99", amountRange},
	{"iban", "", "the IBAN must exist in its country: length, form and check digits", ibans},
	{"character-set", "", "text holds only A-Z, a-z, 0-9, blanks and / - ? : ( ) . , ' +", characterSet},
	{"reference", "", "an identification does not begin or end with a slash or a blank and does not hold two slashes in a row", references},
	{"name-length", "", "the name of a party has at most 70 characters", nameLength},
	{"address-unstructured", "", "since 2026-11-15 an address of address lines alone is refused; it needs at least town and country", addressUnstructured},
	{"address-minimum", "", "a structured or hybrid address holds at least the town (TwnNm) and the country (Ctry)", addressMinimum},
	{"address-lines", "", "a hybrid address has at most two address lines", addressLines},
	{"remittance-single", "", "the remittance information is one unstructured text or one structured reference, not both and not several", remittanceSingle},
	{"remittance-length", "", "structured remittance information has at most 140 characters, its tags included", remittanceLength},
	{"creditor-reference", "", "a creditor reference is of type SCOR, and an ISO one (RF) has right check digits", creditorReference},

	{"one-transaction", "pacs.008", "a message carries exactly one transaction", oneTransaction},
	{"transaction-count", "", "the number of transactions equals those in the message", transactionCount},
	{"control-sum", "", "the control sum or total equals the sum of the amounts", controlSum},
	{"settlement-method", "pacs.008 pacs.004", "the settlement method is CLRG", settlementMethod},
	{"service-level", orders, "the service level is SEPA and nothing else", serviceLevel},
	{"local-instrument", orders, "the local instrument is INST", localInstrument},
	{"charge-bearer", "pain.001 pacs.008 pacs.004", "the charge bearer is SLEV", chargeBearer},
	{"payment-method", "pain.001", "the payment method is TRF", paymentMethod},
	{"instructed-amount", "pain.001", "the amount is an instructed amount, not an equivalent one", instructedAmount},
	{"party-name", orders, "payer and payee are named", partyName},
	{"party-account", orders, "payer and payee have an account with an IBAN", partyAccount},
	{"agent-bic", "pacs.008", "the banks of payer and payee are given by BIC", agentBIC},
	{"transaction-id", "pacs.008", "the transaction has a TxId", transactionID},
	{"settlement-date", "pacs.008", "the message has an interbank settlement date", settlementDate},
	{"acceptance-time", "pacs.008 pacs.002 pacs.028", "the acceptance time is given with milliseconds", acceptanceTime},
	{"acceptance-missing", "pacs.008", "the transaction has an acceptance time (AccptncDtTm)", acceptanceMissing},

	{"status-code", "pacs.002", "a bank answers a transfer with ACCP or RJCT", transferStatus},
	{"status-known", "pain.002", "the status is one of the ISO 20022 status codes", statusKnown},
	{"reject-reason", "pacs.002 pain.002", "a rejection gives its reason", rejectReason},
	{"return-reason", "pacs.004", "money comes back only after a recall, with the reason FOCR", returnReason},
	{"recall-reason", "camt.056", "a recall has one of the reasons DUPL, TECH, FRAD, CUST, AC03 or AM09", recallReason},
	{"recall-answer", "camt.029", "a recall is declined with the confirmation RJCR; a positive answer is a pacs.004", recallAnswer},
	{"recall-decline-reason", "camt.029", "a recall is declined with AC04, AM04, ARDT, CUST, LEGL, NOAS, NOOR or RR04", recallDeclineReason},
}

// texts repeats the explanations, so that reading an amount can quote one
// without the rules referring to themselves.
var texts = map[string]string{}

func init() {
	for _, r := range rules {
		texts[r.id] = r.says
	}
}

func ruleText(id string) string { return texts[id] }

// breaches returns what breaks a rule, at most maxFaults.
func (d *doc) breaches() []Fault {
	d.index()
	var out []Fault
	for _, r := range rules {
		if !d.any(r.where) {
			continue
		}
		for _, n := range r.broke(d) {
			if len(out) == maxFaults {
				return out
			}
			out = append(out, Fault{Layer: LayerRule, Rule: r.id, Path: n.path(), Explanation: r.says})
		}
	}
	return out
}

// any reports whether the message belongs to one of the families.
func (d *doc) any(where string) bool {
	if where == "" {
		return true
	}
	for _, family := range strings.Fields(where) {
		if strings.HasPrefix(d.message, family+".") {
			return true
		}
	}
	return false
}

// index sorts the elements by their type, so that a rule finds every postal
// address of a message wherever it stands.
func (d *doc) index() {
	d.byType = map[string][]*node{}
	d.body.each(func(n *node) {
		name := n.typ.name
		switch {
		case n.typ.lex == nil:
		case n.typ.lex.money:
			name = "money"
		case n.typ.lex.text:
			name = "text"
		}
		d.byType[name] = append(d.byType[name], n)
	})
}

// pick returns those nodes for which bad holds.
func pick(nodes []*node, bad func(*node) bool) []*node {
	var out []*node
	for _, n := range nodes {
		if bad(n) {
			out = append(out, n)
		}
	}
	return out
}

// structuredSince is the day from which unstructured addresses are refused.
// A message is judged by its own creation date, so that an archive stays valid.
var structuredSince = time.Date(2026, 11, 15, 0, 0, 0, 0, time.UTC)
