package iso20022_test

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(name string) string { return filepath.Join("testdata", name+".xml") }

func mustWrite(t testing.TB, m iso20022.Message) string {
	t.Helper()
	out, err := iso20022.Write(m)
	if err != nil {
		t.Fatalf("write %s: %v", m.Name(), err)
	}
	return string(out)
}

func TestEveryMessageIsWrittenAsItsGoldenFile(t *testing.T) {
	for _, m := range examples() {
		t.Run(m.Name(), func(t *testing.T) {
			got := mustWrite(t, m)
			if *update {
				if err := os.WriteFile(golden(m.Name()), []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden(m.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("differs from testdata (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryMessageIsReadAsItWasWritten(t *testing.T) {
	for _, m := range examples() {
		for _, mode := range []iso20022.Mode{iso20022.Strict, iso20022.Lenient} {
			back, err := iso20022.Read([]byte(mustWrite(t, m)), mode)
			if err != nil {
				t.Fatalf("%s: %v", m.Name(), err)
			}
			if diff := cmp.Diff(m, back); diff != "" {
				t.Errorf("%s (-written +read):\n%s", m.Name(), diff)
			}
		}
	}
}

func TestReadAsRefusesAnotherMessage(t *testing.T) {
	_, err := iso20022.ReadAs[*iso20022.Statement]([]byte(mustWrite(t, exampleTransfer())), iso20022.Lenient)
	var f *iso20022.Fault
	if !errors.As(err, &f) || f.Rule != "schema-message" {
		t.Fatalf("got %v, want schema-message", err)
	}
	m, err := iso20022.ReadAs[*iso20022.InterbankTransfer]([]byte(mustWrite(t, exampleTransfer())), iso20022.Strict)
	if err != nil || m.Amount != psd2.Euro(2500) {
		t.Fatalf("got %v, %v", m, err)
	}
}

// An absent EndToEndId has a literal on the wire which many payments share, so
// it must never come back as something one could look a payment up by.
func TestAbsentEndToEndIDIsNeverAKey(t *testing.T) {
	m := exampleTransfer()
	m.EndToEndID = ""
	out := mustWrite(t, m)
	if !strings.Contains(out, "<EndToEndId>NOTPROVIDED</EndToEndId>") {
		t.Fatal("the literal is missing:", out)
	}
	back, err := iso20022.ReadAs[*iso20022.InterbankTransfer]([]byte(out), iso20022.Strict)
	if err != nil || back.EndToEndID != "" {
		t.Fatalf("read %q, %v", back.EndToEndID, err)
	}
}

func TestUnknownBankOfThePayerIsWrittenAsNotProvided(t *testing.T) {
	m := exampleInitiation()
	m.Batches[0].DebtorAgent = ""
	out := mustWrite(t, m)
	if !strings.Contains(out, "<DbtrAgt><FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId></DbtrAgt>") {
		t.Fatal(out)
	}
	back, err := iso20022.Read([]byte(out), iso20022.Strict)
	if diff := cmp.Diff(iso20022.Message(m), back); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
}

// ISO lets the original message stand once for all transactions.
func TestOriginalMessageMayStandOnceForAll(t *testing.T) {
	group := "<OrgnlGrpInf><OrgnlMsgId>COBA20261120-77</OrgnlMsgId><OrgnlMsgNmId>pacs.008.001.08</OrgnlMsgNmId></OrgnlGrpInf>"
	for _, want := range []iso20022.Message{exampleReturn(), examples()[5]} {
		doc := edit(t, example(t, want.Name()), group, "", "<TxInf>", group+"<TxInf>")
		got, err := iso20022.Read([]byte(doc), iso20022.Strict)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", want.Name(), err, diff)
		}
	}
	reasons := "<RtrRsnInf><Orgtr><Id><OrgId><AnyBIC>ABNANL2AXXX</AnyBIC></OrgId></Id></Orgtr><Rsn><Cd>FOCR</Cd></Rsn></RtrRsnInf>"
	doc := edit(t, example(t, moneyBack), group, "", reasons, "", "<TxInf>", strings.Replace(group, "</OrgnlGrpInf>", reasons+"</OrgnlGrpInf>", 1)+"<TxInf>")
	got, err := iso20022.Read([]byte(doc), iso20022.Strict)
	if diff := cmp.Diff(iso20022.Message(exampleReturn()), got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// Write lets nothing go that breaks a rule: each row spoils one field of a good
// message, and the error names the rule.
func TestWriterRefusesAndNamesTheRule(t *testing.T) {
	initiation := func(spoil func(*iso20022.Initiation)) iso20022.Message {
		m := exampleInitiation()
		spoil(m)
		return m
	}
	transfer := func(spoil func(*iso20022.InterbankTransfer)) iso20022.Message {
		m := exampleTransfer()
		spoil(m)
		return m
	}
	rows := []struct {
		rule string
		m    iso20022.Message
	}{
		{"currency", transfer(func(m *iso20022.InterbankTransfer) { m.Amount.Currency = "USD" })},
		{"amount-range", initiation(func(m *iso20022.Initiation) { m.Batches[0].Orders[0].Amount = psd2.Money{Currency: "EUR"} })},
		{"amount-range", transfer(func(m *iso20022.InterbankTransfer) { m.Amount = psd2.Euro(psd2.MaxSCTInstMinor + 1) })},
		{"schema-decimal", transfer(func(m *iso20022.InterbankTransfer) { m.Amount = psd2.Euro(-5) })},
		{"schema-decimal", initiation(func(m *iso20022.Initiation) { // more digits than ISO has, and a sum that overflows
			m.Batches[0].Orders[0].Amount, m.Batches[0].Orders[1].Amount = psd2.Euro(math.MaxInt64/2), psd2.Euro(math.MaxInt64/2+5)
			m.Batches = append(m.Batches, m.Batches[0])
		})},
		{"iban", transfer(func(m *iso20022.InterbankTransfer) { m.DebtorAccount = "DE88370400440532013000" })},
		{"party-account", transfer(func(m *iso20022.InterbankTransfer) { m.CreditorAccount = "" })},
		{"character-set", transfer(func(m *iso20022.InterbankTransfer) { m.Creditor.Name = "Müller" })},
		{"character-set", initiation(func(m *iso20022.Initiation) { m.Batches[0].Orders[0].Remittance.Text = "a\nb" })},
		{"reference", transfer(func(m *iso20022.InterbankTransfer) { m.MessageID = "A//B" })},
		{"reference", initiation(func(m *iso20022.Initiation) { m.Batches[0].ID = "B/" })},
		{"schema-length", initiation(func(m *iso20022.Initiation) { m.MessageID = strings.Repeat("M", 36) })},
		{"schema-missing", transfer(func(m *iso20022.InterbankTransfer) { m.MessageID = "" })},
		{"schema-pattern", transfer(func(m *iso20022.InterbankTransfer) { m.UETR = strings.ToUpper(uetr) })},
		{"schema-pattern", transfer(func(m *iso20022.InterbankTransfer) { m.CreditorAgent = "abna" })},
		{"name-length", transfer(func(m *iso20022.InterbankTransfer) { m.Debtor.Name = strings.Repeat("n", 71) })},
		{"party-name", initiation(func(m *iso20022.Initiation) { m.Batches[0].Orders[0].Creditor.Name = "" })},
		{"address-unstructured", transfer(func(m *iso20022.InterbankTransfer) { m.Debtor.Address = iso20022.Address{Lines: []string{"Gasse 1"}} })},
		{"address-minimum", transfer(func(m *iso20022.InterbankTransfer) { m.Debtor.Address = iso20022.Address{Town: "Berlin"} })},
		{"address-lines", transfer(func(m *iso20022.InterbankTransfer) { m.Creditor.Address.Lines = []string{"1", "2", "3"} })},
		{"remittance-single", transfer(func(m *iso20022.InterbankTransfer) { m.Remittance.Reference = "RF18539007547034" })},
		{"creditor-reference", transfer(func(m *iso20022.InterbankTransfer) { m.Remittance = iso20022.Remittance{Reference: "RF19539007547034"} })},
		{"schema-length", transfer(func(m *iso20022.InterbankTransfer) { m.Remittance.Text = strings.Repeat("u", 141) })},
		{"transaction-id", transfer(func(m *iso20022.InterbankTransfer) { m.TransactionID = "" })},
		{"acceptance-missing", transfer(func(m *iso20022.InterbankTransfer) { m.AcceptedAt = zeroTime })},
		{"settlement-date", transfer(func(m *iso20022.InterbankTransfer) { m.SettlementDate = zeroTime })},
	}
	for _, r := range rows {
		out, err := iso20022.Write(r.m)
		var f *iso20022.Fault
		if !errors.As(err, &f) || f.Rule != r.rule || out != nil {
			t.Errorf("want %s, got %v (%d bytes)", r.rule, err, len(out))
		}
	}
}

func TestOutcomeTakesTheNearestStatus(t *testing.T) {
	m := exampleInitiationStatus()
	check := func(id, status string, reasons int) {
		t.Helper()
		s, r := m.Outcome(id)
		if s != status || len(r) != reasons {
			t.Errorf("outcome of %q is %q with %d reasons, want %q with %d", id, s, len(r), status, reasons)
		}
	}
	check("PAYOUT-1", "ACCC", 0)
	check("PAYOUT-2", "RJCT", 1)
	check("PAYOUT-9", "PART", 0) // not listed: the group's
	m.Batches[0].Transactions[1].Status, m.Batches[0].Status = "", "ACSP"
	check("PAYOUT-2", "ACSP", 0) // a reason belongs to a status at its level or above
	m.Batches[0].Transactions[0].EndToEndID = ""
	check("", "PART", 0) // absent ids are no key
	m.Batches[0] = iso20022.BatchStatus{OriginalID: "B", Status: "RJCT", Reasons: []iso20022.Reason{{Code: "AM04"}}}
	check("PAYOUT-1", "RJCT", 1)
}

// A bank's developer learns which rule his message breaks, and where.
func ExampleCheck() {
	good, err := iso20022.Write(exampleTransfer())
	if err != nil {
		panic(err)
	}
	fmt.Println(iso20022.Check(good))
	shared := strings.Replace(string(good), "<ChrgBr>SLEV<", "<ChrgBr>SHAR<", 1)
	fmt.Println(iso20022.Check([]byte(shared)))
	// Output:
	// ok
	// charge-bearer: the charge bearer is SLEV (FIToFICstmrCdtTrf/CdtTrfTxInf/ChrgBr)
}
