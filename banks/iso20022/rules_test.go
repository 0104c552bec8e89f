package iso20022_test

import (
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/banks/iso20022"
)

const (
	initiation       = "pain.001.001.09"
	initiationStatus = "pain.002.001.10"
	transfer         = "pacs.008.001.08"
	transferStatus   = "pacs.002.001.10"
	moneyBack        = "pacs.004.001.09"
	statusRequest    = "pacs.028.001.03"
	recall           = "camt.056.001.08"
	recallAnswer     = "camt.029.001.09"
	statement        = "camt.053.001.08"
	notification     = "camt.054.001.08"
)

// example is the good message of that kind as text.
func example(t testing.TB, message string) string {
	t.Helper()
	for _, m := range examples() {
		if m.Name() == message {
			return mustWrite(t, m)
		}
	}
	t.Fatal("no example of", message)
	return ""
}

// edit replaces the first occurrence (from, to, from, to, …); a text that is
// not there would make a test that proves nothing.
func edit(t testing.TB, doc string, edits ...string) string {
	t.Helper()
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(doc, edits[i]) {
			t.Fatalf("%q is not in the message", edits[i])
		}
		doc = strings.Replace(doc, edits[i], edits[i+1], 1)
	}
	return doc
}

const reference = `<RmtInf><Strd><CdtrRefInf><Tp><CdOrPrtry><Cd>SCOR</Cd></CdOrPrtry><Issr>ISO</Issr></Tp><Ref>RF18539007547034</Ref></CdtrRefInf></Strd></RmtInf>`

// Each row makes a good message break exactly one rule.
var breaches = []struct {
	rule, message string
	edits         []string
}{
	{"amount-decimals", transfer, []string{`<IntrBkSttlmAmt Ccy="EUR">25.00<`, `<IntrBkSttlmAmt Ccy="EUR">25.000<`}},
	{"amount-decimals", notification, []string{`Ccy="EUR">25.00<`, `Ccy="EUR">25.001<`}},
	{"amount-decimals", initiation, []string{`Ccy="EUR">123.45<`, `Ccy="EUR">+123.45<`}},
	{"currency", initiation, []string{`<InstdAmt Ccy="EUR">`, `<InstdAmt Ccy="CHF">`}},
	{"currency", recall, []string{`<OrgnlIntrBkSttlmAmt Ccy="EUR">`, `<OrgnlIntrBkSttlmAmt Ccy="SEK">`}},
	{"amount-range", initiation, []string{`Ccy="EUR">0.01<`, `Ccy="EUR">0.00<`, `<CtrlSum>123.46<`, `<CtrlSum>123.45<`, `<CtrlSum>123.46<`, `<CtrlSum>123.45<`}},
	{"amount-range", transfer, []string{`<IntrBkSttlmAmt Ccy="EUR">25.00<`, `<IntrBkSttlmAmt Ccy="EUR">1000000000.00<`, `<TtlIntrBkSttlmAmt Ccy="EUR">25.00<`, `<TtlIntrBkSttlmAmt Ccy="EUR">1000000000.00<`}},
	{"iban", transfer, []string{`<IBAN>DE89`, `<IBAN>DE98`}},
	{"iban", statement, []string{`<IBAN>NL91ABNA0417164300<`, `<IBAN>NL91ABNA041716430<`}},
	{"iban", notification, []string{`<IBAN>DE89370400440532013000<`, `<IBAN>XX89370400440532013000<`}},
	{"character-set", transfer, []string{`Jonas Kruger`, `Jonas Krüger`}},
	{"character-set", initiation, []string{`player 8841`, `player #8841`}},
	{"character-set", initiationStatus, []string{`account closed`, `account&#10;closed`}},
	{"reference", transfer, []string{`<EndToEndId>DEP-4711<`, `<EndToEndId>/DEP-4711<`}},
	{"reference", transfer, []string{`<TxId>TX-9001<`, `<TxId>TX-9001/<`}},
	{"reference", initiation, []string{`<InstrId>POT-1<`, `<InstrId>POT//1<`}},
	{"reference", recall, []string{`<Id>RECALL-1<`, `<Id>/RECALL-1<`}},
	{"reference", statusRequest, []string{`<StsReqId>INQ-1<`, `<StsReqId> INQ-1<`}},
	{"name-length", transfer, []string{`<Nm>Jonas Kruger<`, `<Nm>` + strings.Repeat("n", 71) + `<`}},
	{"address-unstructured", transfer, []string{`<TwnNm>Utrecht</TwnNm><Ctry>NL</Ctry>`, ``}},
	{"address-unstructured", initiation, []string{`<TwnNm>Utrecht</TwnNm>`, ``}},
	{"address-minimum", transfer, []string{`<TwnNm>Berlin</TwnNm>`, ``}},
	{"address-minimum", transfer, []string{`<Ctry>NL</Ctry>`, ``}},
	{"address-lines", transfer, []string{`<AdrLine>Oudegracht 7</AdrLine>`, `<AdrLine>1</AdrLine><AdrLine>2</AdrLine><AdrLine>3</AdrLine>`}},
	{"remittance-single", transfer, []string{`</Ustrd>`, `</Ustrd><Ustrd>more</Ustrd>`}},
	{"remittance-single", initiation, []string{reference, strings.Replace(reference, "<Strd>", "<Ustrd>RF18539007547034</Ustrd><Strd>", 1)}},
	{"remittance-length", initiation, []string{`<Strd>`, `<Strd><RfrdDocAmt><RmtdAmt Ccy="EUR">0.01</RmtdAmt></RfrdDocAmt>`}},
	{"remittance-length", initiation, []string{`</CdtrRefInf>`, `</CdtrRefInf><AddtlRmtInf>winnings</AddtlRmtInf>`}},
	{"creditor-reference", initiation, []string{`RF18`, `RF19`}},
	{"creditor-reference", initiation, []string{`<Cd>SCOR<`, `<Cd>DISP<`}},
	{"creditor-reference", initiation, []string{`<Ref>RF18539007547034</Ref>`, ``}},
	{"creditor-reference", initiation, []string{`<Ref>RF18539007547034</Ref>`, `<Ref>INV 7</Ref>`}},
	{"transaction-count", initiation, []string{`<NbOfTxs>2<`, `<NbOfTxs>3<`}},
	{"transaction-count", initiation, []string{`<PmtMtd>TRF</PmtMtd><NbOfTxs>2<`, `<PmtMtd>TRF</PmtMtd><NbOfTxs>1<`}},
	{"transaction-count", transfer, []string{`<NbOfTxs>1<`, `<NbOfTxs>2<`}},
	{"transaction-count", moneyBack, []string{`<NbOfTxs>1<`, `<NbOfTxs>0<`}},
	{"transaction-count", recall, []string{`<NbOfTxs>1<`, `<NbOfTxs>9<`}},
	{"transaction-count", statement, []string{`<Ntry>`, `<TxsSummry><TtlDbtNtries><NbOfNtries>2</NbOfNtries></TtlDbtNtries></TxsSummry><Ntry>`}},
	{"transaction-count", notification, []string{`<TxDtls>`, `<Btch><NbOfTxs>2</NbOfTxs></Btch><TxDtls>`}},
	{"control-sum", initiation, []string{`<CtrlSum>123.46<`, `<CtrlSum>123.45<`}},
	{"control-sum", transfer, []string{`<TtlIntrBkSttlmAmt Ccy="EUR">25.00<`, `<TtlIntrBkSttlmAmt Ccy="EUR">25.01<`}},
	{"control-sum", moneyBack, []string{`<TtlRtrdIntrBkSttlmAmt Ccy="EUR">25.00<`, `<TtlRtrdIntrBkSttlmAmt Ccy="EUR">24.99<`}},
	{"control-sum", recall, []string{`</NbOfTxs>`, `</NbOfTxs><CtrlSum>2500</CtrlSum>`}},
	{"control-sum", statement, []string{`<Ntry>`, `<TxsSummry><TtlCdtNtries><Sum>26.50</Sum></TtlCdtNtries></TxsSummry><Ntry>`}},
	{"settlement-method", transfer, []string{`<SttlmMtd>CLRG<`, `<SttlmMtd>INDA<`}},
	{"settlement-method", moneyBack, []string{`<SttlmMtd>CLRG<`, `<SttlmMtd>COVE<`}},
	{"service-level", transfer, []string{`<Cd>SEPA<`, `<Cd>URGP<`}},
	{"service-level", initiation, []string{`<SvcLvl><Cd>SEPA</Cd></SvcLvl>`, ``}},
	{"service-level", transfer, []string{`</SvcLvl>`, `</SvcLvl><SvcLvl><Cd>SDVA</Cd></SvcLvl>`}},
	{"local-instrument", transfer, []string{`<LclInstrm><Cd>INST</Cd></LclInstrm>`, ``}},
	{"local-instrument", initiation, []string{`<LclInstrm><Cd>INST</Cd></LclInstrm>`, `<LclInstrm><Prtry>INST</Prtry></LclInstrm>`}},
	{"charge-bearer", transfer, []string{`<ChrgBr>SLEV<`, `<ChrgBr>DEBT<`}},
	{"charge-bearer", initiation, []string{`<ChrgBr>SLEV<`, `<ChrgBr>SHAR<`}},
	{"payment-method", initiation, []string{`<PmtMtd>TRF<`, `<PmtMtd>CHK<`}},
	{"instructed-amount", initiation, []string{`<InstdAmt Ccy="EUR">123.45</InstdAmt>`, `<EqvtAmt><Amt Ccy="EUR">123.45</Amt><CcyOfTrf>EUR</CcyOfTrf></EqvtAmt>`}},
	{"party-name", transfer, []string{`<Nm>Jonas Kruger</Nm>`, ``}},
	{"party-name", initiation, []string{`<Dbtr><Nm>Golden Dice B.V.</Nm>`, `<Dbtr>`, `Rialto Hub`, `Rialto`}},
	{"party-account", transfer, []string{`<Id><IBAN>NL91ABNA0417164300</IBAN></Id>`, `<Id><Othr><Id>0417164300</Id></Othr></Id>`}},
	{"party-account", initiation, []string{`<CdtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></CdtrAcct>`, ``}},
	{"agent-bic", transfer, []string{`<BICFI>ABNANL2AXXX</BICFI>`, `<Nm>ABN</Nm>`}},
	{"transaction-id", transfer, []string{`<TxId>TX-9001</TxId>`, ``}},
	{"settlement-date", transfer, []string{`<IntrBkSttlmDt>2026-11-20</IntrBkSttlmDt>`, ``}},
	{"acceptance-time", transfer, []string{`:05.558Z</AccptncDtTm>`, `:05Z</AccptncDtTm>`}},
	{"acceptance-time", transferStatus, []string{`:05.678Z</AccptncDtTm>`, `:05.6Z</AccptncDtTm>`}},
	{"acceptance-missing", transfer, []string{`<AccptncDtTm>2026-11-20T19:04:05.558Z</AccptncDtTm>`, ``}},
	{"status-code", transferStatus, []string{`<GrpSts>RJCT<`, `<GrpSts>PDNG<`}},
	{"status-code", transferStatus, []string{`<GrpSts>RJCT</GrpSts>`, ``}},
	{"status-known", initiationStatus, []string{`<TxSts>ACCC<`, `<TxSts>ACTV<`}},
	{"status-known", initiationStatus, []string{`<GrpSts>PART</GrpSts>`, ``, `<TxSts>ACCC</TxSts>`, ``, `<TxSts>RJCT</TxSts>`, ``}},
	{"reject-reason", transferStatus, []string{`<Rsn><Cd>AC01</Cd></Rsn>`, ``}},
	{"reject-reason", initiationStatus, []string{`<Rsn><Cd>AC04</Cd></Rsn>`, ``}},
	{"return-reason", moneyBack, []string{`<Cd>FOCR<`, `<Cd>AC04<`}},
	{"recall-reason", recall, []string{`<Cd>FRAD<`, `<Cd>AM05<`}},
	{"recall-reason", recall, []string{`<Rsn><Cd>FRAD</Cd></Rsn>`, ``}},
	{"recall-reason", recall, []string{`<CxlRsnInf><Orgtr><Id><OrgId><AnyBIC>COBADEFFXXX</AnyBIC></OrgId></Id></Orgtr><Rsn><Cd>FRAD</Cd></Rsn><AddtlInf>police report 12/26</AddtlInf></CxlRsnInf>`, ``}},
	{"recall-answer", recallAnswer, []string{`<Conf>RJCR<`, `<Conf>CNCL<`}},
	{"recall-decline-reason", recallAnswer, []string{`<Cd>LEGL<`, `<Cd>NARR<`}},
}

func TestEveryUsageRuleRefusesWhatBreaksIt(t *testing.T) {
	proven := map[string]bool{"one-transaction": true} // below
	for _, b := range breaches {
		doc := edit(t, example(t, b.message), b.edits...)
		v := iso20022.Check([]byte(doc))
		if v.OK {
			t.Errorf("%s %s: accepted %v", b.message, b.rule, b.edits)
			continue
		}
		for _, f := range v.Faults {
			if f.Layer != iso20022.LayerRule || f.Rule != b.rule || f.Path == "" || f.Explanation == "" {
				t.Errorf("%s %s: refused by %+v", b.message, b.rule, f)
			}
		}
		if v.Message != b.message {
			t.Errorf("%s: said to be %q", b.message, v.Message)
		}
		proven[b.rule] = true
	}
	for _, r := range iso20022.Rules() {
		if !proven[r.ID] {
			t.Errorf("no message here breaks the rule %s", r.ID)
		}
		if r.Explanation == "" {
			t.Errorf("the rule %s has no explanation", r.ID)
		}
	}
}

func TestTransferOfTwoTransactionsIsRefused(t *testing.T) {
	doc := example(t, transfer)
	from, to := strings.Index(doc, "<CdtTrfTxInf>"), strings.Index(doc, "</FIToFICstmrCdtTrf>")
	doc = edit(t, doc[:to]+doc[from:], "<NbOfTxs>1<", "<NbOfTxs>2<", `<TtlIntrBkSttlmAmt Ccy="EUR">25.00<`, `<TtlIntrBkSttlmAmt Ccy="EUR">50.00<`)
	v := iso20022.Check([]byte(doc))
	if v.OK || len(v.Faults) != 1 || v.Faults[0].Rule != "one-transaction" {
		t.Fatal(v)
	}
}

// What the rules must let pass, near their edges.
func TestUsageRulesLetTheRestPass(t *testing.T) {
	for name, row := range map[string]struct {
		message string
		edits   []string
	}{
		"largest amount":                  {transfer, []string{`<IntrBkSttlmAmt Ccy="EUR">25.00<`, `<IntrBkSttlmAmt Ccy="EUR">999999999.99<`, `>25.00<`, `>999999999.99<`}},
		"amount without decimals":         {transfer, []string{`>25.00<`, `>25<`, `>25.00<`, `>25.0<`}},
		"name of 70":                      {transfer, []string{`Jonas Kruger`, strings.Repeat("n", 70)}},
		"text of 140":                     {transfer, []string{`DEP-4711 (player 8841)`, strings.Repeat("u", 140)}},
		"reference of 25":                 {initiation, []string{`RF18539007547034`, `RF74000000000000000000001`}},
		"slash within":                    {transfer, []string{`<EndToEndId>DEP-4711<`, `<EndToEndId>D/E/P<`}},
		"two address lines":               {transfer, []string{`<AdrLine>Oudegracht 7</AdrLine>`, `<AdrLine>1</AdrLine><AdrLine>2</AdrLine>`}},
		"no address":                      {transfer, []string{`<PstlAdr><TwnNm>Utrecht</TwnNm><Ctry>NL</Ctry><AdrLine>Oudegracht 7</AdrLine></PstlAdr>`, ``}},
		"address lines before 2026-11-15": {transfer, []string{`<TwnNm>Utrecht</TwnNm><Ctry>NL</Ctry>`, ``, `<CreDtTm>2026-11-20`, `<CreDtTm>2026-11-14`}},
		"e-mail":                          {transfer, []string{`</PstlAdr></Dbtr>`, `</PstlAdr><CtctDtls><EmailAdr>jonas_k@example.org</EmailAdr></CtctDtls></Dbtr>`}},
		"payer's own reference":           {initiation, []string{`<Issr>ISO</Issr>`, ``, `RF18539007547034`, `INVOICE 7`}},
		"zone instead of Z":               {transfer, []string{`:05.558Z</AccptncDtTm>`, `:05.558+00:00</AccptncDtTm>`}},
		"payment type in the transaction": {transfer, []string{`<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl><LclInstrm><Cd>INST</Cd></LclInstrm></PmtTpInf>`, ``, `</PmtId>`, `</PmtId><PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl><LclInstrm><Cd>INST</Cd></LclInstrm></PmtTpInf>`}},
		"summary":                         {statement, []string{`<Ntry>`, `<TxsSummry><TtlNtries><NbOfNtries>2</NbOfNtries><Sum>26.5</Sum></TtlNtries><TtlCdtNtries><NbOfNtries>1</NbOfNtries><Sum>25</Sum></TtlCdtNtries></TxsSummry><Ntry>`}},
		"no charge bearer":                {initiation, []string{`<ChrgBr>SLEV</ChrgBr>`, ``}},
		"foreign currency account":        {statement, []string{`<Amt Ccy="EUR">1.50<`, `<Amt Ccy="USD">1.50<`}},
		"schema location":                 {transfer, []string{`<Document `, `<Document xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:x y.xsd" `}},
		"supplementary data":              {transfer, []string{`</FIToFICstmrCdtTrf>`, `<SplmtryData><Envlp><x:y xmlns:x="urn:x" a="1"><x:z/></x:y></Envlp></SplmtryData></FIToFICstmrCdtTrf>`}},
	} {
		if v := iso20022.Check([]byte(edit(t, example(t, row.message), row.edits...))); !v.OK {
			t.Errorf("%s: %s", name, v)
		}
	}
}

// A report that breaks a rule in every entry names the first twenty.
func TestVerdictIsBounded(t *testing.T) {
	doc := example(t, notification)
	from, to := strings.Index(doc, "<Ntry>"), strings.Index(doc, "</Ntfctn>")
	entry := edit(t, doc[from:to], "DEP-4711", "/DEP-4711")
	v := iso20022.Check([]byte(doc[:from] + strings.Repeat(entry, 3000) + doc[to:]))
	if v.OK || len(v.Faults) != 20 || v.Faults[0].Path != "BkToCstmrDbtCdtNtfctn/Ntfctn/Ntry[1]/NtryDtls/TxDtls/Refs/EndToEndId" {
		t.Fatalf("%d faults, first %+v", len(v.Faults), v.Faults[0])
	}
}
