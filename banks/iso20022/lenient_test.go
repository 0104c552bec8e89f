package iso20022_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

// What a bank adds to or leaves out of its pain.002 and camt messages is passed
// over and counted; the rest is read as if nothing were amiss.
func TestBanksDeparturesFromTheSchemaAreIgnoredAndCounted(t *testing.T) {
	for name, row := range map[string]struct {
		message string
		ignored int
		edits   []string
	}{
		"nothing":             {notification, 0, nil},
		"unknown element":     {notification, 1, []string{"</CdtDbtInd>", "</CdtDbtInd><BkOwn><Deep><Deeper>1</Deeper></Deep></BkOwn>"}},
		"three of them":       {initiationStatus, 3, []string{"</GrpHdr>", "<A/><B>1</B></GrpHdr>", "</StsId>", "</StsId><C/>"}},
		"unknown attribute":   {statement, 1, []string{"<Ntry>", `<Ntry nr="1">`}},
		"wrong order":         {recallAnswer, 1, []string{"<CxlStsId>AN-1</CxlStsId>", "", "</CxlStsRsnInf>", "</CxlStsRsnInf><CxlStsId>AN-1</CxlStsId>"}},
		"missing code":        {notification, 1, []string{"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RRCT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>", ""}},
		"text too long":       {recall, 1, []string{"police report 12/26", "police report 12/26" + string(make100('x'))}},
		"letters of the land": {statement, 0, []string{"Monthly fee", "Monatsgebühr"}},
		"zero decimals":       {statement, 0, []string{">1.50<", ">1.500<"}},
	} {
		t.Run(name, func(t *testing.T) {
			good, err := iso20022.Read([]byte(example(t, row.message)), iso20022.Lenient)
			if err != nil {
				t.Fatal(err)
			}
			doc := []byte(edit(t, example(t, row.message), row.edits...))
			got, err := iso20022.Read(doc, iso20022.Lenient)
			if err != nil {
				t.Fatal(err)
			}
			diff := cmp.Diff(good, got,
				cmpopts.IgnoreFields(iso20022.Entry{}, "Info"), cmpopts.IgnoreFields(iso20022.Reason{}, "Info"), cmpopts.IgnoreTypes(iso20022.TransactionKind{}),
				cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Ignored" }, cmp.Ignore()))
			if diff != "" {
				t.Errorf("read differently (-good +got):\n%s", diff)
			}
			if n := ignored(got); n != row.ignored {
				t.Errorf("ignored %d, want %d", n, row.ignored)
			}
			if strict := iso20022.Check(doc); strict.OK != (row.edits == nil) {
				t.Errorf("strictly it is %s", strict)
			}
		})
	}
}

func make100(c byte) []byte {
	b := make([]byte, 100)
	for i := range b {
		b[i] = c
	}
	return b
}

func ignored(m iso20022.Message) int {
	switch m := m.(type) {
	case *iso20022.InitiationStatus:
		return m.Ignored
	case *iso20022.Recall:
		return m.Ignored
	case *iso20022.RecallAnswer:
		return m.Ignored
	case *iso20022.Statement:
		return m.Ignored
	case *iso20022.Notification:
		return m.Ignored
	}
	return -1
}

// Orders and transfers move money: nothing in them may be passed over.
func TestLeniencyIsOnlyForReportsOfBanks(t *testing.T) {
	for _, m := range []string{initiation, transfer, transferStatus, moneyBack, statusRequest} {
		doc := []byte(edit(t, example(t, m), "</GrpHdr>", "<BkOwn/></GrpHdr>"))
		if _, err := iso20022.Read(doc, iso20022.Lenient); err == nil {
			t.Errorf("%s was read with an unknown element", m)
		}
	}
}

// A wrong IBAN in a bank's report is kept as the other number it is: it must
// never look like an account one could pay to.
func TestWrongIBANInAReportIsNoIBAN(t *testing.T) {
	doc := edit(t, example(t, notification), "DE89370400440532013000", "DE00370400440532013000")
	n, err := iso20022.ReadAs[*iso20022.Notification]([]byte(doc), iso20022.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	got := n.Reports[0].Entries[0].Transactions[0].DebtorAccount
	if want := (iso20022.Account{Other: "DE00370400440532013000"}); got != want || n.Ignored != 1 {
		t.Fatalf("got %+v, ignored %d", got, n.Ignored)
	}
}

func TestReportsAreReadHoweverBanksWriteThem(t *testing.T) {
	doc := edit(t, example(t, notification),
		"<DtTm>2026-11-20T19:04:05.678Z</DtTm>", "<DtTm>2026-11-20T20:04:05+01:00</DtTm>", // another zone, no fraction
		"<Ustrd>DEP-4711 (player 8841)</Ustrd>", "<Ustrd>DEP-4711</Ustrd><Ustrd>(player 8841)</Ustrd>",
		"<Dbtr><Pty><Nm>Jonas Kruger</Nm></Pty></Dbtr>", "<Dbtr><Agt><FinInstnId><BICFI>COBADEFFXXX</BICFI><Nm>Commerz</Nm></FinInstnId></Agt></Dbtr>",
		"<CdtDbtInd>CRDT</CdtDbtInd>", "<CdtDbtInd>CRDT</CdtDbtInd><RvslInd>1</RvslInd>",
		"<EndToEndId>DEP-4711</EndToEndId>", "<EndToEndId>NOTPROVIDED</EndToEndId>",
		"</NtryDtls>", "</NtryDtls><NtryDtls><TxDtls><Refs><EndToEndId>DEP-2</EndToEndId></Refs></TxDtls></NtryDtls>")
	n, err := iso20022.ReadAs[*iso20022.Notification]([]byte(doc), iso20022.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	e := n.Reports[0].Entries[0]
	switch tx := e.Transactions[0]; {
	case !e.BookedAt.Time.Equal(evening.Truncate(1e9)) || e.BookedAt.DayOnly:
		t.Error("booked at", e.BookedAt)
	case tx.Remittance.Text != "DEP-4711 (player 8841)":
		t.Error("remittance", tx.Remittance)
	case tx.Debtor.BIC != "COBADEFFXXX" || tx.Debtor.Name != "Commerz":
		t.Error("payer", tx.Debtor)
	case !e.Reversal:
		t.Error("the reversal is lost")
	case tx.EndToEndID != "":
		t.Error("EndToEndID", tx.EndToEndID)
	case len(e.Transactions) != 2 || e.Transactions[1].EndToEndID != "DEP-2" || e.Transactions[1].Amount != (psd2.Money{}):
		t.Error("transactions", e.Transactions)
	}
}
