package rules

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
)

// Kind is what a fact is about.
type Kind string

// Kinds. An hour is one merchant's hour, judged once it is over.
const (
	Deposit Kind = "deposit"
	Payout  Kind = "payout"
	Refund  Kind = "refund"
	HourEnd Kind = "hour"
)

// Status is how far the transaction is. Only accepted and settled ones count
// in windows; failed ones count as attempts.
type Status string

// Statuses.
const (
	Pending  Status = "pending"
	Accepted Status = "accepted"
	Settled  Status = "settled"
	Failed   Status = "failed"
)

func (s Status) counts() bool { return s == Accepted || s == Settled }

// HolderSelf is the holder key of an account that is the player's own.
const HolderSelf = "self"

// Fact is what is known of one transaction. Amounts are minor units; keys are
// opaque and equal when the things are; a nil pointer means not known, which is
// something else than no.
type Fact struct {
	ID       string    `json:"id"`
	Revision int64     `json:"revision"` // a newer one replaces an older one
	At       time.Time `json:"at"`
	Kind     Kind      `json:"kind"`
	Status   Status    `json:"status"`
	Amount   int64     `json:"amount"`
	Currency string    `json:"currency,omitempty"`

	Merchant     string `json:"merchant"`
	Player       string `json:"player,omitempty"`        // the merchant's player
	Person       string `json:"person,omitempty"`        // the same human at all merchants
	PersonLinked bool   `json:"person_linked,omitempty"` // Person really joins merchants (name and birth date are known)
	IBAN         string `json:"iban,omitempty"`          // the player's account
	SourceIBAN   string `json:"source_iban,omitempty"`   // refund: where the deposit came from
	Device       string `json:"device,omitempty"`
	IP           string `json:"ip,omitempty"`
	Network      string `json:"network,omitempty"` // IPv4 /24, IPv6 /64
	Gambling     bool   `json:"gambling,omitempty"`

	BIC         string `json:"bic,omitempty"`
	IBANCountry string `json:"iban_country,omitempty"`
	IPCountry   string `json:"ip_country,omitempty"`
	Residence   string `json:"residence,omitempty"`

	Holder      string   `json:"holder,omitempty"`       // key of the account's holder, HolderSelf for the player
	HolderMatch *float64 `json:"holder_match,omitempty"` // 0..1, how alike holder and player are
	VoP         string   `json:"vop,omitempty"`          // MTCH, CMTC, NMTC, NOAP (EPC VoP rulebook)
	KYC         string   `json:"kyc,omitempty"`          // "verified" is the only good one

	RegisteredAt *time.Time `json:"registered_at,omitempty"`
	HolderAge    *int       `json:"holder_age,omitempty"` // years
	Stake        *int64     `json:"stake,omitempty"`      // since the last payout
	MonthLimit   *int64     `json:"month_limit,omitempty"`
	Place        *Place     `json:"place,omitempty"`
	Hosting      *bool      `json:"hosting,omitempty"` // the address is a data centre's, a VPN's or Tor's
	MuleListed   *bool      `json:"mule_listed,omitempty"`
	VASPListed   *bool      `json:"vasp_listed,omitempty"`
	Keyword      *string    `json:"keyword,omitempty"`       // found in the purpose; "" none
	PurposeMatch *float64   `json:"purpose_match,omitempty"` // 0..1, how alike whom the purpose names and the player are; nil: it names nobody
	Screening    *Screening `json:"screening,omitempty"`
	PEP          *PEP       `json:"pep,omitempty"`
}

// Place is where an address is, in degrees.
type Place struct {
	Lat float64 `json:"lat"`
	Lon float64 `json:"lon"`
}

// Screening is the newest result of sanctions screening. It comes from the
// daily run: nothing is looked up while a transfer executes (Reg. 260/2012
// Art. 5d).
type Screening struct {
	Score  float64 `json:"score"`
	Agrees bool    `json:"agrees"` // birth date or country agree
}

// PEP is the newest result of screening for politically exposed persons.
type PEP struct {
	Score      float64 `json:"score"`
	YearAgrees bool    `json:"year_agrees"` // birth year within one
}

// Observation is what later transactions remember of an earlier one.
type Observation struct {
	ID       string `db:"id"`
	At       int64  `db:"at"` // microseconds since 1970
	Kind     Kind   `db:"kind"`
	Status   Status `db:"status"`
	Amount   int64  `db:"amount_minor"`
	Merchant string `db:"merchant_id"`
	Player   string `db:"player_key"`
	IBAN     string `db:"iban_key"`
	Country  string `db:"iban_country"`
	Device   string `db:"device_key"`
	IP       string `db:"ip_key"`
	Holder   string `db:"holder_key"`
	Gambling bool   `db:"gambling"`
	Placed   bool   `db:"placed"`
	Lat      int64  `db:"lat"` // millionths of a degree
	Lon      int64  `db:"lon"`
}

// Observe cuts a fact down to what is remembered.
func (f *Fact) Observe() Observation {
	o := Observation{
		ID: f.ID, At: f.At.UnixMicro(), Kind: f.Kind, Status: f.Status, Amount: f.Amount, Merchant: f.Merchant, Player: f.Player,
		IBAN: f.IBAN, Country: f.IBANCountry, Device: f.Device, IP: f.IP, Holder: f.Holder, Gambling: f.Gambling,
	}
	if f.Place != nil {
		o.Placed, o.Lat, o.Lon = true, int64(math.Round(f.Place.Lat*1e6)), int64(math.Round(f.Place.Lon*1e6))
	}
	return o
}

// History is the past of everyone in a fact: each list in order of time and id,
// and nothing in it later than the fact. The fact itself may be in it or not.
type History struct {
	Player, Person, IBAN, Device, Network []Observation

	Hours Hours
}

// Hour sums up one merchant's hour (unix hours).
type Hour struct {
	Hour     int64 `db:"hour"`
	Deposits int64 `db:"deposits"` // that count
	Sum      int64 `db:"deposit_sum"`
	Refunds  int64 `db:"refund_sum"`
	Failed   int64 `db:"failed"` // deposits
}

// Hours is a merchant's past by hours: the last seven days, and the same hour
// of the 28 days before.
type Hours []Hour

// compare orders observations by time, then id.
func compare(a Observation, at int64, id string) int {
	return cmp.Or(cmp.Compare(a.At, at), cmp.Compare(a.ID, id))
}

// insert puts an observation into its place, replacing an earlier one of the
// same transaction.
func insert(list []Observation, o Observation) []Observation {
	if n := len(list); n == 0 || compare(list[n-1], o.At, o.ID) < 0 {
		return append(list, o)
	}
	i := sort.Search(len(list), func(i int) bool { return compare(list[i], o.At, o.ID) >= 0 })
	if i < len(list) && list[i].ID == o.ID {
		list[i] = o
		return list
	}
	return slices.Insert(list, i, o)
}

// upTo cuts a list at a fact's own place.
func upTo(list []Observation, at int64, id string) []Observation {
	i := sort.Search(len(list), func(i int) bool { return compare(list[i], at, id) >= 0 })
	return list[:i]
}
