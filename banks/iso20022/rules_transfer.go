package iso20022

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/rialto-hub/rialto/psd2"
)

// The rules about what is ordered and transferred: pain.001, pacs.008,
// pacs.004, and the counts and sums of every message.

// transactions are the single transfers of an order or a transfer.
func (d *doc) transactions() []*node {
	var out []*node
	for _, t := range []string{"CreditTransferTransaction34", "CreditTransferTransaction39"} {
		out = append(out, d.byType[t]...)
	}
	return out
}

func oneTransaction(d *doc) []*node {
	if len(d.transactions()) != 1 {
		return []*node{d.body}
	}
	return nil
}

func settlementMethod(d *doc) []*node {
	m := d.body.at("GrpHdr/SttlmInf/SttlmMtd")
	return pick([]*node{m}, func(n *node) bool { return n.text != "CLRG" })
}

// paymentTypes are the payment type informations that hold for a transaction:
// its own, and that of its batch or of the message. ISO allows either place.
func (d *doc) paymentTypes(tx *node) []*node {
	above := tx.parent.child("PmtTpInf")
	if d.any("pacs.008") {
		above = d.body.at("GrpHdr/PmtTpInf")
	}
	var out []*node
	for _, n := range []*node{tx.child("PmtTpInf"), above} {
		if n != nil {
			out = append(out, n)
		}
	}
	return out
}

func serviceLevel(d *doc) []*node {
	return pick(d.transactions(), func(tx *node) bool {
		found := false
		for _, p := range d.paymentTypes(tx) {
			for _, s := range p.all("SvcLvl") {
				if s.val("Cd") != "SEPA" {
					return true
				}
				found = true
			}
		}
		return !found
	})
}

func localInstrument(d *doc) []*node {
	return pick(d.transactions(), func(tx *node) bool {
		found := false
		for _, p := range d.paymentTypes(tx) {
			if l := p.at("LclInstrm"); l != nil {
				if l.val("Cd") != "INST" {
					return true
				}
				found = true
			}
		}
		return !found
	})
}

func chargeBearer(d *doc) []*node {
	return pick(d.byType["ChargeBearerType1Code"], func(n *node) bool { return n.text != "SLEV" })
}

func paymentMethod(d *doc) []*node {
	return pick(d.byType["PaymentMethod3Code"], func(n *node) bool { return n.text != "TRF" })
}

func instructedAmount(d *doc) []*node {
	return pick(d.transactions(), func(tx *node) bool { return tx.at("Amt/InstdAmt") == nil })
}

// party finds what belongs to one side of a transaction: in a pain.001 the
// payer stands in the batch above it.
func party(tx *node, tag string) *node {
	if n := tx.child(tag); n != nil {
		return n
	}
	return tx.parent.child(tag)
}

func partyName(d *doc) []*node {
	return pick(d.transactions(), func(tx *node) bool {
		return trim(party(tx, "Dbtr").val("Nm")) == "" || trim(party(tx, "Cdtr").val("Nm")) == ""
	})
}

func partyAccount(d *doc) []*node {
	return pick(d.transactions(), func(tx *node) bool {
		return party(tx, "DbtrAcct").val("Id/IBAN") == "" || party(tx, "CdtrAcct").val("Id/IBAN") == ""
	})
}

func agentBIC(d *doc) []*node {
	return pick(d.transactions(), func(tx *node) bool {
		return tx.val("DbtrAgt/FinInstnId/BICFI") == "" || tx.val("CdtrAgt/FinInstnId/BICFI") == ""
	})
}

func transactionID(d *doc) []*node {
	return pick(d.transactions(), func(tx *node) bool { return tx.val("PmtId/TxId") == "" })
}

func settlementDate(d *doc) []*node {
	return pick(d.transactions(), func(tx *node) bool {
		return d.body.at("GrpHdr/IntrBkSttlmDt") == nil && tx.at("IntrBkSttlmDt") == nil
	})
}

var millisecondForm = regexp.MustCompile(`T\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)?$`)

func acceptanceTime(d *doc) []*node {
	return pick(d.byType["dateTime"], func(n *node) bool {
		return n.name == "AccptncDtTm" && !millisecondForm.MatchString(trim(n.text))
	})
}

func acceptanceMissing(d *doc) []*node {
	return pick(d.transactions(), func(tx *node) bool { return tx.at("AccptncDtTm") == nil })
}

// group is a place where a message counts and sums up what it holds.
type group struct {
	counts, sums []*node // NbOfTxs; CtrlSum and totals
	items        []*node // the transactions meant
	amount       string  // path of each one's amount
}

// groups lists every place of the message where a count or a sum stands.
func (d *doc) groups() []group {
	head := d.body.at("GrpHdr")
	switch {
	case d.any("pain.001"):
		out := []group{{head.all("NbOfTxs"), head.all("CtrlSum"), d.transactions(), "Amt/InstdAmt"}}
		for _, b := range d.body.all("PmtInf") {
			out = append(out, group{b.all("NbOfTxs"), b.all("CtrlSum"), b.all("CdtTrfTxInf"), "Amt/InstdAmt"})
		}
		return out
	case d.any("pacs.008"):
		return []group{{head.all("NbOfTxs"), append(head.all("CtrlSum"), head.all("TtlIntrBkSttlmAmt")...), d.body.all("CdtTrfTxInf"), "IntrBkSttlmAmt"}}
	case d.any("pacs.004"):
		return []group{{head.all("NbOfTxs"), append(head.all("CtrlSum"), head.all("TtlRtrdIntrBkSttlmAmt")...), d.body.all("TxInf"), "RtrdIntrBkSttlmAmt"}}
	case d.any("camt.056"):
		var txs []*node
		for _, u := range d.body.all("Undrlyg") {
			txs = append(txs, u.all("TxInf")...)
		}
		control := d.body.at("CtrlData")
		return []group{{control.all("NbOfTxs"), control.all("CtrlSum"), txs, "OrgnlIntrBkSttlmAmt"}}
	case d.any("camt.053 camt.054"):
		return d.reportGroups()
	}
	return nil
}

// reportGroups: an account report may sum up its entries, an entry the
// transactions of a batch.
func (d *doc) reportGroups() []group {
	var out []group
	for _, report := range append(d.body.all("Stmt"), d.body.all("Ntfctn")...) {
		entries := report.all("Ntry")
		for _, t := range []struct{ tag, direction string }{{"TtlNtries", ""}, {"TtlCdtNtries", "CRDT"}, {"TtlDbtNtries", "DBIT"}} {
			total := report.at("TxsSummry/" + t.tag)
			out = append(out, group{total.all("NbOfNtries"), total.all("Sum"), pick(entries, func(n *node) bool {
				return t.direction == "" || n.val("CdtDbtInd") == t.direction
			}), "Amt"})
		}
		for _, e := range entries {
			for _, details := range e.all("NtryDtls") {
				if txs := details.all("TxDtls"); len(txs) > 0 {
					out = append(out, group{details.at("Btch").all("NbOfTxs"), nil, txs, ""})
				}
			}
		}
	}
	return out
}

func transactionCount(d *doc) []*node {
	var out []*node
	for _, g := range d.groups() {
		out = append(out, pick(g.counts, func(n *node) bool {
			v, err := strconv.Atoi(n.text)
			return err != nil || v != len(g.items)
		})...)
	}
	return out
}

func controlSum(d *doc) []*node {
	var out []*node
	for _, g := range d.groups() {
		if len(g.sums) == 0 || g.amount == "" {
			continue
		}
		sum, known := g.sum()
		if !known {
			continue
		}
		out = append(out, pick(g.sums, func(n *node) bool {
			m, err := psd2.ParseDecimal(strings.TrimPrefix(trim(n.text), "+"), psd2.EUR)
			return err != nil || m.AmountMinor != sum
		})...)
	}
	return out
}

// sum adds up the amounts in minor units. It is unknown when one is missing or
// malformed (which another rule says), and -1, which no sum equals, when it is
// too large to be held.
func (g group) sum() (minor int64, known bool) {
	total := psd2.Euro(0)
	for _, it := range g.items {
		n := it.at(g.amount)
		m, f := money(n, false)
		if n == nil || f != nil {
			return 0, false
		}
		var err error
		if total, err = total.Add(psd2.Euro(m.AmountMinor)); err != nil {
			return -1, true
		}
	}
	return total.AmountMinor, true
}
