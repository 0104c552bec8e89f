package goaml

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// IncompleteError says that a report lacks something.
type IncompleteError struct{ Missing []Missing }

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("goaml: the report is not complete: %d entries are missing, the first is %s", len(e.Missing), e.Missing[0].Field)
}

// The elements, in the order of the schema.

type xmlReport struct {
	XMLName        xml.Name         `xml:"report"`
	SchemaVersion  string           `xml:"schema_version,omitempty"`
	EntityID       string           `xml:"rentity_id"`
	EntityBranch   string           `xml:"rentity_branch,omitempty"`
	SubmissionCode string           `xml:"submission_code"`
	ReportCode     string           `xml:"report_code"`
	Reference      string           `xml:"entity_reference"`
	FIURef         string           `xml:"fiu_ref_number,omitempty"`
	Date           string           `xml:"submission_date"`
	Currency       string           `xml:"currency_code_local"`
	Officer        xmlPerson        `xml:"reporting_person"`
	Reason         string           `xml:"reason"`
	Action         string           `xml:"action"`
	Transactions   []xmlTransaction `xml:"transaction"`
	Indicators     []string         `xml:"report_indicators>indicator"`
}

type xmlPerson struct {
	FirstName   string      `xml:"first_name"`
	LastName    string      `xml:"last_name"`
	BirthDate   string      `xml:"birthdate,omitempty"`
	BirthPlace  string      `xml:"birth_place,omitempty"`
	Nationality string      `xml:"nationality1,omitempty"`
	Residence   string      `xml:"residence,omitempty"`
	Addresses   *xmlAddress `xml:"addresses>address,omitempty"`
	Email       string      `xml:"email,omitempty"`
}

type xmlAddress struct {
	Type    string `xml:"address_type"`
	Address string `xml:"address"`
	City    string `xml:"city"`
	Zip     string `xml:"zip,omitempty"`
	Country string `xml:"country_code"`
}

type xmlTransaction struct {
	Number      string   `xml:"transactionnumber"`
	InternalRef string   `xml:"internal_ref_number,omitempty"`
	Description string   `xml:"transaction_description,omitempty"`
	Date        string   `xml:"date_transaction"`
	Mode        string   `xml:"transmode_code"`
	Amount      string   `xml:"amount_local"`
	FromMine    *xmlFrom `xml:"t_from_my_client,omitempty"`
	From        *xmlFrom `xml:"t_from,omitempty"`
	ToMine      *xmlTo   `xml:"t_to_my_client,omitempty"`
	To          *xmlTo   `xml:"t_to,omitempty"`
	Comments    string   `xml:"comments,omitempty"`
}

type xmlFrom struct {
	Funds   string     `xml:"from_funds_code"`
	Account xmlAccount `xml:"from_account"`
	Country string     `xml:"from_country"`
}

type xmlTo struct {
	Funds   string     `xml:"to_funds_code"`
	Account xmlAccount `xml:"to_account"`
	Country string     `xml:"to_country"`
}

type xmlAccount struct {
	Institution string        `xml:"institution_name,omitempty"`
	SWIFT       string        `xml:"swift,omitempty"`
	Account     string        `xml:"account"`
	Currency    string        `xml:"currency_code"`
	Name        string        `xml:"account_name"`
	IBAN        string        `xml:"iban"`
	Type        string        `xml:"personal_account_type,omitempty"`
	Signatory   *xmlSignatory `xml:"signatory,omitempty"`
}

type xmlSignatory struct {
	Primary bool      `xml:"is_primary"`
	Person  xmlPerson `xml:"t_person"`
}

// stamp is a time as the schema has it, in the zone of At's location.
func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05") }

// Write writes a complete report as XML in UTF-8. The error is an
// *IncompleteError while Check finds something. The same report gives the same
// bytes.
func Write(w io.Writer, r Report, p Profile) error {
	if missing := Check(r, p); len(missing) > 0 {
		return &IncompleteError{missing}
	}
	x := xmlReport{
		SchemaVersion: p.SchemaVersion, EntityID: p.EntityID, EntityBranch: p.EntityBranch, SubmissionCode: p.SubmissionCode,
		ReportCode: p.ReportCode, Reference: r.Reference, Date: stamp(r.At), Currency: p.Currency,
		Officer: personOf(r.Officer, p), Reason: reasonText(r), Action: r.Measures, Indicators: r.Indicators,
	}
	if len(r.Earlier) > 0 {
		x.FIURef = r.Earlier[len(r.Earlier)-1]
	}
	for _, t := range r.Transactions {
		x.Transactions = append(x.Transactions, transactionOf(t, r, p))
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("goaml: write: %w", err)
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(x); err != nil {
		return fmt.Errorf("goaml: write: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// reasonText is the story with what has no element of its own.
func reasonText(r Report) string {
	var b strings.Builder
	b.WriteString(strings.TrimSpace(r.Facts))
	line := func(name, value string) {
		if value != "" {
			b.WriteString("\n" + name + ": " + value)
		}
	}
	line("Strafanzeige", r.Complaint)
	line("Frühere Meldungen", strings.Join(r.Earlier, ", "))
	line("Wirtschaftlich Berechtigter", r.BeneficialName)
	return b.String()
}

func personOf(q Person, p Profile) xmlPerson {
	x := xmlPerson{FirstName: q.FirstName, LastName: q.LastName, BirthPlace: q.BirthPlace, Nationality: q.Nationality, Residence: q.Residence, Email: q.Email}
	if q.BirthDate != "" {
		x.BirthDate = q.BirthDate + "T00:00:00"
	}
	if q.Address != "" && q.City != "" {
		country := q.Residence
		if country == "" {
			country = p.Country
		}
		x.Addresses = &xmlAddress{Type: p.AddressType, Address: q.Address, City: q.City, Zip: q.PostCode, Country: country}
	}
	return x
}

func accountOf(a Account, p Profile) xmlAccount {
	return xmlAccount{Institution: a.Bank, SWIFT: a.BIC, Account: string(a.IBAN), Currency: p.Currency, Name: a.Name, IBAN: string(a.IBAN)}
}

func transactionOf(t Transaction, r Report, p Profile) xmlTransaction {
	x := xmlTransaction{Number: t.Number, InternalRef: t.EndToEndID, Description: t.Purpose, Date: stamp(t.At), Mode: p.TransferMode, Amount: t.Amount.Decimal()}
	if t.Attempted {
		x.Comments = "nicht ausgeführt"
	}
	from := &xmlFrom{p.FundsCode, accountOf(t.From, p), country(t.From.IBAN, p)}
	to := &xmlTo{p.FundsCode, accountOf(t.To, p), country(t.To.IBAN, p)}
	subject := &xmlSignatory{true, personOf(r.Subject, p)}
	if t.FromSubject {
		from.Account.Type, from.Account.Signatory = p.AccountType, subject
		x.FromMine, x.To = from, to
	} else {
		to.Account.Type, to.Account.Signatory = p.AccountType, subject
		x.From, x.ToMine = from, to
	}
	return x
}

func country(i psd2.IBAN, p Profile) string {
	if len(i) < 2 {
		return p.Country
	}
	return i.Country()
}
