package iso20022_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/iso20022"
)

const document = `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:`

// Every message kind refuses these at layer xml, strict and lenient. // C28 C29
func TestHostileXMLIsRefusedInEveryMessage(t *testing.T) {
	laughs := `<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>`
	for _, m := range examples() {
		good := mustWrite(t, m)
		id := "<MsgId>"
		if !strings.Contains(good, id) {
			id = "<Assgnmt><Id>"
		}
		for rule, doc := range map[string]string{
			"xml-doctype":     edit(t, good, document, `<!DOCTYPE Document SYSTEM "file:///etc/passwd">`+document),
			"xml-doctype ":    edit(t, good, document, laughs+document, id, id+"&c;"),
			"xml-entity":      edit(t, good, id, id+"&xxe;"),
			"xml-trailing":    good + `<Document/>`,
			"xml-trailing ":   good + `text`,
			"xml-trailing  ":  "text" + strings.TrimPrefix(good, `<?xml version="1.0" encoding="UTF-8"?>`),
			"xml-split-text":  edit(t, good, id, id+"A<!-- -->"),
			"xml-cdata":       edit(t, good, id, id+"<![CDATA[A]]>"),
			"xml-instruction": edit(t, good, id, id+"<?php evil?>"),
			"xml-syntax":      edit(t, good, "</Document>", ""),
			"xml-syntax ":     edit(t, good, "</Document>", "</document>"),
			"xml-syntax  ":    edit(t, good, ` xmlns="`, ` xmlns="urn:evil" xmlns="`),
			"xml-syntax    ":  " " + good, // a declaration that is not at the beginning
			"xml-encoding":    edit(t, good, id, id+"\xff"),
			"xml-encoding ":   edit(t, good, `UTF-8`, `ISO-8859-1`),
			"xml-empty":       "",
			"xml-empty ":      `<?xml version="1.0"?><!-- nothing -->`,
			"xml-depth":       edit(t, good, id, strings.Repeat("<a>", 200_000)+id),
		} {
			refusedAt(t, doc, iso20022.LayerXML, strings.TrimSpace(rule), true)
		}
	}
}

// Well-formed, but meant to be read in two ways: refused in lenient reading as
// well. // C29
func TestAmbiguousMessagesAreRefusedEvenLeniently(t *testing.T) {
	ns := "urn:iso:std:iso:20022:tech:xsd:" + notification
	amount := `<Amt Ccy="EUR">25.00</Amt>`
	for rule, edits := range map[string][]string{
		"schema-message":         {ns, "urn:iso:std:iso:20022:tech:xsd:camt.054.001.02"},
		"schema-message ":        {ns, "urn:evil"},
		"schema-message  ":       {document, `<Document xmlns:e="urn:iso:std:iso:20022:tech:xsd:`},
		"schema-namespace":       {amount, amount + `<e:Amt xmlns:e="urn:evil" Ccy="EUR">9999.00</e:Amt>`},
		"schema-namespace ":      {"<Ntry>", `<Ntry xmlns="">`},
		"schema-repeated":        {amount, amount + `<Amt Ccy="EUR">9999.00</Amt>`},
		"schema-repeated ":       {"<AcctSvcrRef>", `<CdtDbtInd>DBIT</CdtDbtInd><AcctSvcrRef>`},
		"schema-choice":          {"</IBAN>", "</IBAN><Othr><Id>1</Id></Othr>"},
		"schema-text":            {"<Ntry>", "<Ntry>evil"},
		"schema-text ":           {"</Ntry>", "evil</Ntry>"},
		"schema-unknown-element": {">25.00</Amt>", "><x/></Amt>"},
		"schema-decimal":         {">25.00<", ">25.00 EUR<"},
		"schema-decimal ":        {">25.00<", ">-25.00<"},
		"schema-attribute":       {` Ccy="EUR"`, ``},
		"schema-date":            {"<Dt>2026-11-20<", "<Dt>2026-11-31<"},
		"amount-decimals":        {">25.00<", ">25.001<"},
		"schema-missing":         {"BkToCstmrDbtCdtNtfctn", "Bogus", "/BkToCstmrDbtCdtNtfctn", "/Bogus"},
	} {
		doc := edit(t, example(t, notification), edits...)
		if _, err := iso20022.Read([]byte(doc), iso20022.Lenient); err == nil {
			t.Errorf("%s: read leniently", rule)
		} else if f := new(iso20022.Fault); !errors.As(err, &f) || f.Rule != strings.TrimSpace(rule) {
			t.Errorf("%s: refused leniently as %v", rule, err)
		}
		if v := iso20022.Check([]byte(doc)); v.OK {
			t.Errorf("%s: accepted", rule)
		}
	}
}

func refusedAt(t *testing.T, doc string, layer iso20022.Layer, rule string, lenientToo bool) {
	t.Helper()
	v := iso20022.Check([]byte(doc))
	if v.OK || v.Faults[0].Layer != layer || v.Faults[0].Rule != rule {
		t.Errorf("want %s at layer %s, got %s", rule, layer, v)
	}
	if _, err := iso20022.Read([]byte(doc), iso20022.Lenient); lenientToo && err == nil {
		t.Errorf("%s: read leniently", rule)
	}
}

// The schema is held in every detail: one row for each kind of breach.
func TestSchemaBreachesAreRefusedByName(t *testing.T) {
	for rule, row := range map[string]struct {
		message string
		edits   []string
	}{
		"schema-length":           {transfer, []string{"COBA20261120-77", strings.Repeat("M", 36)}},
		"schema-length ":          {initiation, []string{"<EndToEndId>PAYOUT-1<", "<EndToEndId><"}},
		"schema-missing":          {transfer, []string{"<EndToEndId>DEP-4711</EndToEndId>", ""}},
		"schema-missing ":         {statement, []string{`<BkTxCd><Prtry><Cd>FEE</Cd></Prtry></BkTxCd>`, ""}},
		"schema-pattern":          {transfer, []string{"<IBAN>DE89370400440532013000<", "<IBAN>DE89 3704<"}},
		"schema-pattern ":         {recall, []string{"<BICFI>COBADEFFXXX<", "<BICFI>COBADEFFX<"}},
		"schema-pattern  ":        {moneyBack, []string{"<NbOfTxs>1<", "<NbOfTxs>one<"}},
		"schema-code":             {statement, []string{"<CdtDbtInd>DBIT<", "<CdtDbtInd>DEBIT<"}},
		"schema-decimal":          {transfer, []string{`<IntrBkSttlmAmt Ccy="EUR">25.00<`, `<IntrBkSttlmAmt Ccy="EUR">25.123456<`}},
		"schema-attribute":        {transfer, []string{` Ccy="EUR"`, ` Ccy="eur"`}},
		"schema-attribute ":       {transfer, []string{`<NbOfTxs>`, `<NbOfTxs Ccy="EUR">`}},
		"schema-attribute  ":      {statusRequest, []string{`<GrpHdr>`, `<GrpHdr id="1">`}},
		"schema-order":            {transfer, []string{"<TxId>TX-9001</TxId>", "", "<EndToEndId>", "<TxId>TX-9001</TxId><EndToEndId>"}},
		"schema-unknown-element":  {initiation, []string{"</GrpHdr>", "<Extra>1</Extra></GrpHdr>"}},
		"schema-unknown-element ": {recallAnswer, []string{"<Conf>RJCR</Conf>", "<Cnf>RJCR</Cnf>"}},
		"schema-repeated":         {transferStatus, []string{"</MsgId>", "</MsgId><MsgId>2</MsgId>"}},
		"schema-choice":           {recallAnswer, []string{"</Conf>", "</Conf><AssgnmtCxlConf>true</AssgnmtCxlConf>"}},
		"schema-date":             {initiationStatus, []string{"<CreDtTm>2026-11-20T", "<CreDtTm>2026-11-20 "}},
		"schema-boolean":          {notification, []string{"</CdtDbtInd>", "</CdtDbtInd><RvslInd>yes</RvslInd>"}},
		"schema-text":             {initiation, []string{"<PmtInf>", "<PmtInf>x"}},
	} {
		refusedAt(t, edit(t, example(t, row.message), row.edits...), iso20022.LayerSchema, strings.TrimSpace(rule), false)
	}
}

// Whatever the sender does, the answer comes soon and memory is bounded by the
// limits on bytes, elements and depth. // C28 C29
func TestHugeInputIsRefusedSoon(t *testing.T) {
	head := document + notification + `"><BkToCstmrDbtCdtNtfctn>`
	for rule, doc := range map[string]string{
		"xml-size":     head + strings.Repeat(" ", 50<<20),
		"xml-elements": head + strings.Repeat("<a/>", 3<<20),
		"xml-depth":    strings.Repeat("<a>", 200_000),
		"xml-syntax":   "<" + strings.Repeat("a", 15<<20),
	} {
		began := time.Now()
		refusedAt(t, doc, iso20022.LayerXML, rule, true)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s took %v", rule, took)
		}
	}
}

// An explanation goes to logs and screens, so it must not carry what the
// message says about people.
func TestFaultsQuoteNothingOfTheMessage(t *testing.T) {
	for _, b := range breaches {
		v := iso20022.Check([]byte(edit(t, example(t, b.message), b.edits...)))
		for _, secret := range []string{"370400440532013000", "0417164300", "Jonas", "4711", "8841"} {
			if strings.Contains(v.String(), secret) {
				t.Errorf("%s shows %q", v, secret)
			}
		}
	}
	v := iso20022.Check([]byte(edit(t, example(t, transfer), "<NbOfTxs>", "<Jonas-\u202e-Kruger-with-a-name-that-goes-on-and-on-and-on/><NbOfTxs>")))
	if strings.Contains(v.String(), "\u202e") || len(v.String()) > 200 {
		t.Errorf("an invented element name is shown as it is: %q", v)
	}
}
