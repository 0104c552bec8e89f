package iso20022

import (
	"strings"
	"unicode/utf8"

	"github.com/rialto-hub/rialto/psd2"
)

// The rules about single values: amounts, accounts, texts, addresses and
// remittance information, wherever they stand.

func amountDecimals(d *doc) []*node {
	return pick(d.byType["money"], func(n *node) bool {
		_, f := money(n, false)
		return f != nil
	})
}

// moved returns the amounts that a message moves or recalls; others (charges,
// amounts inside remittance information) may be of any size and currency.
func (d *doc) moved() []*node {
	return pick(d.byType["money"], func(n *node) bool {
		switch n.name {
		case "InstdAmt", "IntrBkSttlmAmt", "TtlIntrBkSttlmAmt", "TtlRtrdIntrBkSttlmAmt", "OrgnlIntrBkSttlmAmt", "RtrdIntrBkSttlmAmt", "RtrdInstdAmt":
			return true
		}
		return false
	})
}

func currency(d *doc) []*node {
	return pick(d.moved(), func(n *node) bool { return n.ccy != psd2.EUR })
}

func amountRange(d *doc) []*node {
	return pick(d.moved(), func(n *node) bool {
		m, f := money(n, false)
		return f == nil && (m.AmountMinor < psd2.MinSCTInstMinor || m.AmountMinor > psd2.MaxSCTInstMinor) &&
			!strings.HasPrefix(n.name, "Ttl") // a total of several may be larger
	})
}

func ibans(d *doc) []*node {
	return pick(d.byType["iban"], func(n *node) bool {
		_, err := psd2.ParseIBAN(n.text)
		return err != nil
	})
}

// characterSet leaves out electronic addresses, which need @ and _.
func characterSet(d *doc) []*node {
	return pick(d.byType["text"], func(n *node) bool {
		switch n.name {
		case "EmailAdr", "ElctrncAdr", "URLAdr":
			return false
		}
		return !psd2.IsEPC(n.text)
	})
}

var identifications = map[string]bool{
	"MsgId": true, "PmtInfId": true, "InstrId": true, "EndToEndId": true, "TxId": true,
	"OrgnlMsgId": true, "OrgnlPmtInfId": true, "OrgnlInstrId": true, "OrgnlEndToEndId": true, "OrgnlTxId": true,
	"StsId": true, "RtrId": true, "StsReqId": true, "CxlId": true, "CxlStsId": true,
}

func references(d *doc) []*node {
	return pick(d.byType["text"], func(n *node) bool {
		return (identifications[n.name] || n.name == "Id" && n.parent.name == "Assgnmt") && badReference(n.text)
	})
}

func badReference(s string) bool {
	return strings.HasPrefix(s, "/") || strings.HasSuffix(s, "/") || strings.Contains(s, "//") || strings.Trim(s, " ") != s
}

func nameLength(d *doc) []*node {
	var names []*node
	for _, p := range d.byType["PartyIdentification135"] {
		names = append(names, p.all("Nm")...)
	}
	return pick(names, func(n *node) bool { return utf8.RuneCountInString(n.text) > maxName })
}

const maxName = 70

// addresses are those of a message that is young enough to be judged.
func (d *doc) addresses() []*node {
	if d.created.Before(structuredSince) {
		return nil
	}
	return d.byType["PostalAddress24"]
}

// onlyLines: nothing but address lines, perhaps with the country.
func onlyLines(a *node) bool {
	for _, k := range a.kids {
		if k.name != "AdrLine" && k.name != "Ctry" && k.name != "AdrTp" {
			return false
		}
	}
	return a.at("AdrLine") != nil
}

func addressUnstructured(d *doc) []*node { return pick(d.addresses(), onlyLines) }

func addressMinimum(d *doc) []*node {
	return pick(d.addresses(), func(a *node) bool {
		return !onlyLines(a) && (a.val("TwnNm") == "" || a.val("Ctry") == "")
	})
}

func addressLines(d *doc) []*node {
	return pick(d.addresses(), func(a *node) bool { return !onlyLines(a) && len(a.all("AdrLine")) > 2 })
}

func remittanceSingle(d *doc) []*node {
	return pick(d.byType["RemittanceInformation16"], func(r *node) bool { return len(r.kids) > 1 })
}

// remittanceLength counts what stands between <Strd> and </Strd>, tags and
// data, as the implementation guidelines do.
func remittanceLength(d *doc) []*node {
	return pick(d.byType["StructuredRemittanceInformation16"], func(s *node) bool {
		n := 0
		for _, k := range s.kids {
			n += written(k)
		}
		return n > 140
	})
}

func written(n *node) int {
	size := utf8.RuneCountInString(n.text) + 2*len(n.name) + len("<></>")
	if n.hasCcy {
		size += len(` Ccy="EUR"`)
	}
	for _, k := range n.kids {
		size += written(k)
	}
	return size
}

func creditorReference(d *doc) []*node {
	return pick(d.byType["CreditorReferenceInformation2"], func(c *node) bool {
		ref := c.val("Ref")
		iso := c.val("Tp/Issr") == "ISO" || strings.HasPrefix(ref, "RF")
		return c.val("Tp/CdOrPrtry/Cd") != "SCOR" || ref == "" || iso && !psd2.IsCreditorReference(ref)
	})
}
