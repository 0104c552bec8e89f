package goaml_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

var update = flag.Bool("update", false, "write the golden file anew")

func complete() goaml.Report {
	return goaml.Report{
		Reference: "01M7W6C380E9GAFX9ZK2KNB1BH", At: time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC),
		Facts:      "Vier Einzahlungen knapp unter dem Schwellenwert innerhalb von sechs Stunden, danach sofort eine Auszahlung & <fremdes> Konto in Österreich.",
		Measures:   "Auszahlung angehalten.",
		Complaint:  "keine",
		Earlier:    []string{"FIU-2026-0001"},
		Indicators: []string{"SBX-01", "SBX-03"},
		Officer:    goaml.Person{FirstName: "Maria", LastName: "Meise", Email: "fiu@casino.example"},
		Subject: goaml.Person{FirstName: "Jörg", LastName: "Müßig-Åström", BirthDate: "1980-02-29", BirthPlace: "Görlitz", Nationality: "DE", Residence: "DE",
			Address: "Königstraße 5", PostCode: "10115", City: "Köln"},
		Transactions: []goaml.Transaction{
			{Number: "pay_1", EndToEndID: "RLT01", At: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), Amount: psd2.Euro(199900), Purpose: "Einzahlung 4711", FromSubject: true,
				From: goaml.Account{Name: "Jörg Müßig", IBAN: "DE02120300000000202051", BIC: "BYLADEM1001"}, To: goaml.Account{Name: "Casino GmbH", IBAN: "DE89370400440532013000"}},
			{Number: "pot_1", At: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), Amount: psd2.Euro(780001), Purpose: "Auszahlung", Attempted: true,
				From: goaml.Account{Name: "Casino GmbH", IBAN: "DE89370400440532013000"}, To: goaml.Account{Name: "Karl Österreicher", IBAN: "AT611904300234573201"}},
		},
	}
}

func TestReportIsWrittenAsBefore(t *testing.T) {
	var b bytes.Buffer
	if err := goaml.Write(&b, complete(), goaml.Sandbox()); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "report.xml")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("the report is written otherwise:\n%s", b.String())
	}
	for _, word := range []string{"Müßig-Åström", "Königstraße", "Österreicher", "<amount_local>1999.00<", "&lt;fremdes&gt;"} {
		if !strings.Contains(b.String(), word) {
			t.Errorf("%q is not in the report", word)
		}
	}
}

// TestReportFitsTheSchema asks xmllint. Our own schema knows the elements that
// we write, in their order; the official one is used when it is installed
// ($RIALTO_GOAML_XSD), because it may not be passed on.
func TestReportFitsTheSchema(t *testing.T) {
	lint := testkit.Tool(t, "xmllint")
	file := filepath.Join("testdata", "report.xml")
	schemas := []string{filepath.Join("testdata", "report.xsd")}
	if official := os.Getenv("RIALTO_GOAML_XSD"); official != "" {
		schemas = append(schemas, official)
	}
	for _, s := range schemas {
		if out, err := exec.Command(lint, "--noout", "--nonet", "--schema", s, file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", s, err, out)
		}
	}
}

func TestEachMissingEntryIsNamed(t *testing.T) {
	p := goaml.Sandbox()
	if missing := goaml.Check(complete(), p); len(missing) != 0 {
		t.Fatalf("the complete report lacks %v", missing)
	}
	for field, spoil := range map[string]func(*goaml.Report, *goaml.Profile){
		"reference":                func(r *goaml.Report, _ *goaml.Profile) { r.Reference = "" },
		"at":                       func(r *goaml.Report, _ *goaml.Profile) { r.At = time.Time{} },
		"facts":                    func(r *goaml.Report, _ *goaml.Profile) { r.Facts = "verdächtig" },
		"complaint":                func(r *goaml.Report, _ *goaml.Profile) { r.Complaint = " " },
		"indicators":               func(r *goaml.Report, _ *goaml.Profile) { r.Indicators = []string{"XX"} },
		"officer.email":            func(r *goaml.Report, _ *goaml.Profile) { r.Officer.Email = "" },
		"subject.last_name":        func(r *goaml.Report, _ *goaml.Profile) { r.Subject.LastName = "" },
		"subject.birth_date":       func(r *goaml.Report, _ *goaml.Profile) { r.Subject.BirthDate = "29.02.1980" },
		"subject.birth_place":      func(r *goaml.Report, _ *goaml.Profile) { r.Subject.BirthPlace = "" },
		"subject.nationality":      func(r *goaml.Report, _ *goaml.Profile) { r.Subject.Nationality = "" },
		"subject.city":             func(r *goaml.Report, _ *goaml.Profile) { r.Subject.City = "" },
		"subject.address":          func(r *goaml.Report, _ *goaml.Profile) { r.Subject.Address = "x\x00y" },
		"transactions":             func(r *goaml.Report, _ *goaml.Profile) { r.Transactions = nil },
		"transactions.2.to.iban":   func(r *goaml.Report, _ *goaml.Profile) { r.Transactions[1].To.IBAN = "" },
		"transactions.1.from.name": func(r *goaml.Report, _ *goaml.Profile) { r.Transactions[0].From.Name = "" },
		"transactions.2.purpose":   func(r *goaml.Report, _ *goaml.Profile) { r.Transactions[1].Purpose = "" },
		"transactions.1.amount":    func(r *goaml.Report, _ *goaml.Profile) { r.Transactions[0].Amount = psd2.Money{} },
		"profile.entity_id":        func(_ *goaml.Report, p *goaml.Profile) { p.EntityID = "" },
		"profile.transfer_mode":    func(_ *goaml.Report, p *goaml.Profile) { p.TransferMode = "" },
	} {
		r, q := complete(), p
		spoil(&r, &q)
		missing := goaml.Check(r, q)
		if !slices.ContainsFunc(missing, func(m goaml.Missing) bool { return m.Field == field && m.Rule != "" }) {
			t.Errorf("%s: missing %v", field, missing)
		}
		var b bytes.Buffer
		var incomplete *goaml.IncompleteError
		if err := goaml.Write(&b, r, q); !errors.As(err, &incomplete) || b.Len() != 0 {
			t.Errorf("%s: written all the same: %v", field, err)
		}
	}
}

// TestGermanProfileInventsNoCode: what the FIU's closed area says is for the
// deployment to enter.
func TestGermanProfileInventsNoCode(t *testing.T) {
	missing := goaml.Check(complete(), goaml.Germany())
	if !slices.ContainsFunc(missing, func(m goaml.Missing) bool { return m.Field == "profile.transfer_mode" }) {
		t.Errorf("missing: %v", missing)
	}
}
