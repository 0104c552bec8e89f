package goaml

import (
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Report is a report of suspicion (GwG §43, GwGMeldV §3).
type Report struct {
	Reference      string        `json:"reference"`         // our own file reference
	Earlier        []string      `json:"earlier,omitempty"` // references of earlier reports in the same matter
	At             time.Time     `json:"at"`
	Facts          string        `json:"facts"`               // what happened and why it is suspicious
	Measures       string        `json:"measures,omitempty"`  // what was done about it
	Complaint      string        `json:"complaint,omitempty"` // a criminal complaint, with its reference, or that there is none
	Indicators     []string      `json:"indicators"`          // reporting reasons, codes of the profile
	Officer        Person        `json:"officer"`             // who reports
	Subject        Person        `json:"subject"`             // who is suspected
	BeneficialName string        `json:"beneficial_name,omitempty"`
	Transactions   []Transaction `json:"transactions"`
}

// Person is a natural person.
type Person struct {
	FirstName   string `json:"first_name"`
	LastName    string `json:"last_name"`
	BirthDate   string `json:"birth_date,omitempty"` // YYYY-MM-DD
	BirthPlace  string `json:"birth_place,omitempty"`
	Nationality string `json:"nationality,omitempty"`
	Residence   string `json:"residence,omitempty"` // ISO 3166 alpha-2
	Address     string `json:"address,omitempty"`   // street and number
	PostCode    string `json:"post_code,omitempty"`
	City        string `json:"city,omitempty"`
	Email       string `json:"email,omitempty"`
	Phone       string `json:"phone,omitempty"`
}

// Account is one side's account.
type Account struct {
	Name string    `json:"name"` // its holder, as the bank says
	IBAN psd2.IBAN `json:"iban"`
	BIC  string    `json:"bic,omitempty"`
	Bank string    `json:"bank,omitempty"`
}

// Transaction is one reported movement of money.
type Transaction struct {
	Number      string     `json:"number"` // ours
	EndToEndID  string     `json:"end_to_end_id,omitempty"`
	At          time.Time  `json:"at"`
	Amount      psd2.Money `json:"amount"`
	Purpose     string     `json:"purpose,omitempty"` // payment reference
	From        Account    `json:"from"`
	To          Account    `json:"to"`
	FromSubject bool       `json:"from_subject"` // the suspected person's account is the one that pays
	Attempted   bool       `json:"attempted,omitempty"`
}

// Code is an entry of a code list.
type Code struct {
	Code string            `yaml:"code" json:"code"`
	Text map[string]string `yaml:"text" json:"text"` // by language
}

// Profile is what differs from country to country.
type Profile struct {
	Country        string `yaml:"country"`         // ISO 3166 alpha-2
	SchemaVersion  string `yaml:"schema_version"`  //
	EntityID       string `yaml:"entity_id"`       // the reporting entity's number with the FIU
	EntityBranch   string `yaml:"entity_branch"`   //
	SubmissionCode string `yaml:"submission_code"` // electronic
	ReportCode     string `yaml:"report_code"`     // of a report with transactions
	Currency       string `yaml:"currency"`        //
	TransferMode   string `yaml:"transfer_mode"`   // conduction_type of an instant transfer
	FundsCode      string `yaml:"funds_code"`      // funds_type of money on a payment account
	AccountType    string `yaml:"account_type"`    // of a payment account; "" leaves it out
	AddressType    string `yaml:"address_type"`
	Indicators     []Code `yaml:"indicators"` // reporting reasons
}

// Germany is the frame of a German profile. The FIU's codes are not public: the
// deployment fills in what its own documents say, and Check names what is
// still empty.
func Germany() Profile {
	return Profile{Country: "DE", SchemaVersion: "5.0.2", SubmissionCode: "E", Currency: "EUR"}
}

// Sandbox is a complete profile with made-up codes, for the demo and for tests.
// No FIU knows them.
func Sandbox() Profile {
	text := func(code, en, de string) Code { return Code{Code: code, Text: map[string]string{"en": en, "de": de}} }
	p := Germany()
	p.EntityID, p.ReportCode, p.TransferMode, p.FundsCode, p.AccountType, p.AddressType = "99001", "STR", "SBX-TRF", "SBX-ACC", "SBX-PAY", "SBX-HOME"
	p.Indicators = []Code{
		text("SBX-01", "Amounts divided to stay below a threshold", "Stückelung unter einen Schwellenwert"),
		text("SBX-02", "Account holder is not the customer", "Kontoinhaber ist nicht der Vertragspartner"),
		text("SBX-03", "Money passed through without economic purpose", "Durchleitung ohne wirtschaftlichen Zweck"),
		text("SBX-04", "Source of funds not plausible", "Herkunft der Mittel nicht plausibel"),
		text("SBX-05", "Doubts about identity", "Zweifel an der Identität"),
		text("SBX-06", "Link to a sanctioned person", "Bezug zu einer sanktionierten Person"),
		text("SBX-07", "Suspected terrorist financing", "Verdacht der Terrorismusfinanzierung"),
	}
	return p
}
