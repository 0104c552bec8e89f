package rules

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance/names"
	"github.com/rialto-hub/rialto/psd2"
)

// event is a line of a recorded stream: JSON Lines, one transaction each.
type event struct {
	ID         string     `json:"id"`
	At         *time.Time `json:"ts"`
	Type       Kind       `json:"type"`
	Merchant   string     `json:"merchant"`
	Player     string     `json:"player"` // the same person at every merchant
	PlayerName string     `json:"player_name"`
	HolderName string     `json:"holder_name"`
	IBAN       string     `json:"iban"`
	BIC        string     `json:"bic"`
	Amount     *int64     `json:"amount_cents"`
	Currency   string     `json:"currency"`
	Device     string     `json:"device"`
	IP         string     `json:"ip"`
	IPCountry  string     `json:"ip_country"`
	Status     Status     `json:"status"`
	Stake      *int64     `json:"stake_cents_since_last"`
	KYC        string     `json:"kyc_status"`
	Residence  string     `json:"residence"`
	Registered *time.Time `json:"registered_at"`
	Purpose    *string    `json:"purpose"`
}

// maxLine bounds one line of a stream.
const maxLine = 1 << 20

// Stream reads recorded events and puts them in order of time. A line that is
// no event is an error that names it; a transaction that comes twice counts
// once.
func (e *Engine) Stream(r io.Reader) ([]*Fact, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	holders := newHolders(e.limits["own_name"])
	seen := map[string]bool{}
	var out []*Fact
	line := 0
	for scanner.Scan() {
		line++
		text := bytes.TrimSpace(scanner.Bytes())
		if line == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		if len(text) == 0 {
			continue
		}
		f, err := e.parseEvent(text, holders)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if !seen[f.ID] {
			seen[f.ID] = true
			out = append(out, f)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", line+1, err)
	}
	if len(out) == 0 {
		return nil, errors.New("there are no events in it")
	}
	slices.SortStableFunc(out, func(a, b *Fact) int { return compare(a.Observe(), b.At.UnixMicro(), b.ID) })
	return out, nil
}

func (e *Engine) parseEvent(text []byte, holders *holders) (*Fact, error) {
	var ev event
	if err := json.Unmarshal(text, &ev); err != nil {
		return nil, fmt.Errorf("no event: %w", err)
	}
	status := ev.Status
	switch status {
	case Pending, Accepted, Settled, Failed:
	case "":
		status = Settled
	default:
		return nil, fmt.Errorf("status %q is not known", status)
	}
	switch {
	case ev.ID == "" || ev.Player == "" || ev.At == nil || ev.Amount == nil:
		return nil, errors.New("id, ts, player and amount_cents must be given")
	case strings.ContainsAny(ev.ID+ev.Player, "\t\n\r"):
		return nil, errors.New("id and player must not hold tabs or line breaks")
	case *ev.Amount <= 0:
		return nil, errors.New("amount_cents must be positive")
	case !slices.Contains([]Kind{Deposit, Payout, Refund}, ev.Type):
		return nil, fmt.Errorf("type %q is not deposit, payout or refund", ev.Type)
	case ev.Currency != "" && ev.Currency != "EUR":
		return nil, fmt.Errorf("currency %q: limits are in euro", ev.Currency)
	}
	f := &Fact{
		ID: ev.ID, Revision: 1, At: ev.At.UTC(), Kind: ev.Type, Status: status, Amount: *ev.Amount, Currency: "EUR",
		Merchant: ev.Merchant, Player: ev.Player, Person: ev.Player, PersonLinked: true, Gambling: true,
		IBAN: ev.IBAN, IBANCountry: psd2.IBAN(ev.IBAN).Country(), BIC: ev.BIC, Device: ev.Device, IP: ev.IP, Network: Network(ev.IP),
		IPCountry: ev.IPCountry, Residence: ev.Residence, KYC: ev.KYC, RegisteredAt: ev.Registered, Stake: ev.Stake,
	}
	if ev.Purpose != nil {
		word := e.lists.Keyword(*ev.Purpose, f.At)
		f.Keyword = &word
	}
	f.Holder, f.HolderMatch = holders.compare(ev.HolderName, ev.PlayerName)
	return f, nil
}

// Network is what an address counts by: its /24, or /64 for IPv6. Empty when
// it is no address.
func Network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	a = a.Unmap()
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// holders compares account holders with players, each pair of names once.
type holders struct {
	own  float64
	seen map[[2]string]float64
}

func newHolders(own float64) *holders { return &holders{own, map[[2]string]float64{}} }

func (h *holders) compare(holder, player string) (key string, match *float64) {
	if holder == "" || player == "" {
		return "", nil
	}
	pair := [2]string{holder, player}
	v, ok := h.seen[pair]
	if !ok {
		v = names.Pair("Person", holder, player)
		h.seen[pair] = v
	}
	if v >= h.own {
		return HolderSelf, &v
	}
	return "name/" + names.Fold(holder), &v
}
