package skeleton

import (
	"errors"
	"mime"
	"net/netip"
	"net/url"
	"regexp"

	"github.com/go-json-experiment/json"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/psd2"
)

type amount struct {
	Currency string `json:"currency"`
	Amount   string `json:"amount"`
}

type account struct {
	IBAN psd2.IBAN `json:"iban"`
}

// order is the body of an initiation.
type order struct {
	EndToEndID string   `json:"endToEndIdentification"`
	Debtor     *account `json:"debtorAccount,omitempty"`
	Amount     amount   `json:"instructedAmount"`
	Creditor   account  `json:"creditorAccount"`
	Name       string   `json:"creditorName"`
	Remittance string   `json:"remittanceInformationUnstructured,omitempty"`
}

// compose writes an order, or says that no bank could take it.
func compose(o banks.Order) ([]byte, error) {
	_, wrongIBAN := psd2.ParseIBAN(string(o.Creditor.IBAN))
	_, wrongIP := netip.ParseAddr(o.PSU.IP)
	wrong := []error{
		o.Amount.CheckSCTInst(), wrongIBAN, wrongIP,
		psd2.CheckText("end_to_end_id", o.EndToEndID, 35), psd2.CheckText("name", o.Creditor.Name, 70), psd2.CheckText("remittance", o.Remittance, 140),
		link(o.ReturnURL), link(o.FailURL), // they go into headers
	}
	if o.Creditor.Name == "" || o.EndToEndID == "" {
		wrong = append(wrong, errors.New("a name or the reference is missing"))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	out := order{EndToEndID: o.EndToEndID, Amount: amount{o.Amount.Currency, o.Amount.Decimal()}, Creditor: account{o.Creditor.IBAN},
		Name: o.Creditor.Name, Remittance: o.Remittance}
	if o.Debtor != "" {
		out.Debtor = &account{o.Debtor}
	}
	return json.Marshal(out)
}

func link(s string) error {
	if _, err := url.Parse(s); err != nil { // it would hold a line break, say
		return errors.New("a link is none")
	}
	return nil
}

// answer is what the bank says of an order.
type answer struct {
	ID       string `json:"paymentId"`
	Status   string `json:"transactionStatus"`
	Messages []struct {
		Code string `json:"code"`
	} `json:"tppMessages"`
	Links struct {
		Redirect struct {
			Href string `json:"href"`
		} `json:"scaRedirect"`
	} `json:"_links"`
}

var (
	statusCode = regexp.MustCompile(`^[A-Z]{4}$`)
	reasonCode = regexp.MustCompile(`^([A-Za-z_]{1,40}|[A-Z0-9]{1,8})$`) // no account number looks so
	paymentID  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,70}$`)
)

// parse reads an answer; false when the bank's interface did not write it.
func parse(rep *courier.Reply) (a answer, ours bool) {
	media, _, err := mime.ParseMediaType(rep.Header.Get("Content-Type"))
	if err != nil || media != "application/json" || json.Unmarshal(rep.Body, &a) != nil {
		return answer{}, false
	}
	if !statusCode.MatchString(a.Status) {
		a.Status = ""
	}
	return a, a.Status != "" || len(a.Messages) > 0
}

// reason is the bank's code for what went wrong. Its words are never passed on.
func (a answer) reason() string {
	if len(a.Messages) == 0 || !reasonCode.MatchString(a.Messages[0].Code) {
		return ""
	}
	return a.Messages[0].Code
}
