package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// event is a line of a recorded stream: JSON Lines, one transaction each. An
// optional value that is null or "" is not known.
type event struct {
	ID         string  `json:"id"`
	At         moment  `json:"ts"`
	Type       string  `json:"type"`
	Merchant   string  `json:"merchant"`
	Player     string  `json:"player"` // the same person at every merchant
	PlayerName string  `json:"player_name"`
	HolderName string  `json:"holder_name"`
	IBAN       string  `json:"iban"`
	BIC        string  `json:"bic"`
	Amount     whole   `json:"amount_cents"`
	Currency   string  `json:"currency"`
	Device     string  `json:"device"`
	IP         string  `json:"ip"`
	IPCountry  string  `json:"ip_country"`
	Status     string  `json:"status"`
	Stake      whole   `json:"stake_cents_since_last"`
	KYC        string  `json:"kyc_status"`
	Residence  string  `json:"residence"`
	Registered moment  `json:"registered_at"`
	Purpose    *string `json:"purpose"`
}

// moment is a time by RFC 3339, or one without a zone, which is UTC.
type moment struct{ *time.Time }

var clocks = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", time.DateTime}

// UnmarshalJSON implements json.Unmarshaler.
func (m *moment) UnmarshalJSON(b []byte) error {
	text, err := scalar(b)
	if err != nil || text == "" {
		return err
	}
	for _, layout := range clocks {
		if at, err := time.Parse(layout, text); err == nil {
			m.Time = &at
			return nil
		}
	}
	return fmt.Errorf("%q is no time by RFC 3339", text)
}

// whole is an integer; some systems write it as 2000.0.
type whole struct{ n *int64 }

// UnmarshalJSON implements json.Unmarshaler.
func (w *whole) UnmarshalJSON(b []byte) error {
	text, err := scalar(b)
	if err != nil || text == "" {
		return err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, floatErr := strconv.ParseFloat(text, 64)
		if floatErr != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return fmt.Errorf("%q is no whole number", text)
		}
		n = int64(f)
	}
	w.n = &n
	return nil
}

// scalar is the text of a JSON string or number, "" of null.
func scalar(b []byte) (text string, err error) {
	switch {
	case string(b) == "null":
		return "", nil
	case b[0] == '"':
		err = json.Unmarshal(b, &text)
		return strings.TrimSpace(text), err
	}
	return string(b), nil
}

// statuses are the ends that other systems have words for. What never moved
// money failed, whatever it is called.
var statuses = map[string]Status{
	"": Settled, "pending": Pending, "accepted": Accepted, "settled": Settled, "failed": Failed,
	"authorized": Accepted, "authorised": Accepted, "executed": Settled, "completed": Settled, "success": Settled, "succeeded": Settled, "booked": Settled, "paid": Settled,
	"aborted": Failed, "rejected": Failed, "refused": Failed, "declined": Failed, "canceled": Failed, "cancelled": Failed, "expired": Failed,
	"abandoned": Failed, "error": Failed, "failure": Failed, "returned": Failed, "reversed": Failed, "blocked": Failed, "timeout": Failed,
}

// kinds are the words for what moved.
var kinds = map[string]Kind{"deposit": Deposit, "payout": Payout, "withdrawal": Payout, "refund": Refund}

func (e *Engine) parseEvent(text []byte, holders *holders) (*Fact, error) {
	var ev event
	if err := json.Unmarshal(text, &ev); err != nil {
		return nil, fmt.Errorf("no event: %w", err)
	}
	status, ended := statuses[strings.ToLower(strings.TrimSpace(ev.Status))]
	kind := kinds[strings.ToLower(ev.Type)]
	switch {
	case !ended:
		return nil, fmt.Errorf("status %q is not known", ev.Status)
	case ev.ID == "" || ev.Player == "" || ev.At.Time == nil || ev.Amount.n == nil:
		return nil, errors.New("id, ts, player and amount_cents must be given")
	case strings.ContainsAny(ev.ID+ev.Player, "\t\n\r"):
		return nil, errors.New("id and player must not hold tabs or line breaks")
	case *ev.Amount.n <= 0:
		return nil, errors.New("amount_cents must be positive")
	case kind == "":
		return nil, fmt.Errorf("type %q is not deposit, payout or refund", ev.Type)
	case !slices.Contains([]string{"", "EUR"}, strings.ToUpper(ev.Currency)):
		return nil, fmt.Errorf("currency %q: limits are in euro", ev.Currency)
	}
	iban, ip := strings.ToUpper(strings.ReplaceAll(ev.IBAN, " ", "")), strings.TrimSpace(ev.IP)
	f := &Fact{
		ID: ev.ID, Revision: 1, At: ev.At.UTC(), Kind: kind, Status: status, Amount: *ev.Amount.n, Currency: "EUR",
		Merchant: ev.Merchant, Player: ev.Player, Person: ev.Player, PersonLinked: true, Gambling: true,
		IBAN: iban, IBANCountry: psd2.IBAN(iban).Country(), BIC: ev.BIC, Device: ev.Device, IP: ip, Network: Network(ip),
		IPCountry: strings.ToUpper(ev.IPCountry), Residence: strings.ToUpper(ev.Residence), KYC: ev.KYC, RegisteredAt: ev.Registered.Time, Stake: ev.Stake.n,
	}
	if ev.Purpose != nil {
		e.lists.Purpose(f, *ev.Purpose, ev.PlayerName)
	}
	f.Holder, f.HolderMatch = holders.compare(ev.HolderName, ev.PlayerName)
	return f, nil
}
