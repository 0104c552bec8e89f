package run

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestReportIsAStatementAnyBankMightSend: valid by the official schema, read
// back by our strict reader, and to the cent.
func TestReportIsAStatementAnyBankMightSend(t *testing.T) {
	opening, closing := int64(-500), int64(1542)
	day := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	entries := []psd2.StatementEntry{
		{BankID: "B1", Kind: psd2.EntryCredit, Incoming: true, Amount: psd2.Euro(2500), BookedAt: day, EndToEndID: "RLT1", Class: psd2.EntryMatched},
		{BankID: "B2", Kind: psd2.EntryDebit, Amount: psd2.Euro(500), BookedAt: day, EndToEndID: "RLT2", Class: psd2.EntryLate},
		{BankID: "B3", Kind: psd2.EntryReturn, Incoming: true, Amount: psd2.Euro(42), BookedAt: day, Reason: "AC04", Class: psd2.EntryForeign,
			Counterparty: psd2.Party{Name: "Müller & Söhne <x> " + string(bytes.Repeat([]byte("n"), 90)), IBAN: "DE02120300000000202051"}, Remittance: "Rechnung 5 – Öl"},
	}
	out, err := camt053{func() time.Time { return day }}.WriteStatement(
		psd2.PayeeAccount{ID: "acc_01kagq3m5xq2x6n1v7t0c8r4ze", Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000"},
		psd2.Settlement{Day: "2026-11-22", Opening: &opening, Closing: &closing}, entries)
	if err != nil {
		t.Fatal(err)
	}
	m, err := iso20022.ReadAs[*iso20022.Statement](out, iso20022.Strict)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := m.Reports[0]
	if len(r.Entries) != 3 || r.Balances[0].Amount != psd2.Euro(500) || r.Balances[0].Direction != iso20022.Debit || r.Balances[1].Amount != psd2.Euro(1542) ||
		r.Entries[1].Info != "late" || r.Entries[2].Transactions[0].DebtorAccount.IBAN != "DE02120300000000202051" {
		t.Fatalf("%+v", r)
	}
	lint := testkit.Tool(t, "xmllint")
	schema := testkit.Standard(t, "iso20022-xsd")
	found, err := filepath.Glob(filepath.Join(schema, "*camt.053.001.08*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("schemas %v %v", found, err)
	}
	file := filepath.Join(t.TempDir(), "report.xml")
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(lint, "--noout", "--schema", found[0], file).CombinedOutput(); err != nil {
		t.Fatalf("%s\n%s", said, out)
	}
}
