package rules

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Row is one line of a backtest's result.
type Row struct {
	Tx       string   `json:"tx_id"`
	Player   string   `json:"player"`
	Rule     string   `json:"rule"`
	Action   Action   `json:"action"`
	Severity Severity `json:"severity"`
	Linked   bool     `json:"linked,omitempty"` // named as evidence by a later transaction's hit
}

// HourRow is a finding about a merchant's hour.
type HourRow struct {
	ID       string    `json:"id"` // see HourFact
	Merchant string    `json:"merchant"`
	Hour     time.Time `json:"hour"` // when it began
	Rule     string    `json:"rule"`
	Action   Action    `json:"action"`
	Severity Severity  `json:"severity"`
}

// Backtest is what the rules say of a recorded stream.
type Backtest struct {
	Facts  []*Fact
	Rows   []Row
	NoData map[string]map[string]int // rule, missing source: how often
	Hours  []HourRow                 // findings about merchants, which have no transaction
}

// Run judges recorded facts, in order of time. A hit on something shared (one
// device, one account) is a finding about every transaction that makes it, so
// each of them gets a row of its own, those before the last included.
func (e *Engine) Run(facts []*Fact) (*Backtest, error) {
	b := &Backtest{Facts: facts, NoData: map[string]map[string]int{}}
	memory, byID := NewMemory(), map[string]*Fact{}
	rows := map[string]map[string]Row{} // by transaction, by rule
	hours := newHourClock()
	for _, f := range facts {
		for _, end := range hours.before(f) {
			if err := b.hour(e, memory, end); err != nil {
				return nil, err
			}
		}
		byID[f.ID] = f
		rows[f.ID] = map[string]Row{}
		memory.Add(f)
		if f.Status == Failed {
			continue // it moved no money; it counts as a try
		}
		j, err := e.Judge(f, memory.History(f))
		if err != nil {
			return nil, err
		}
		b.note(j)
		for _, h := range j.Hits {
			rows[f.ID][h.Rule] = Row{f.ID, f.Player, h.Rule, h.Action, h.Severity, false}
			for _, id := range h.Evidence {
				if _, has := rows[id][h.Rule]; !has {
					rows[id][h.Rule] = Row{id, byID[id].Player, h.Rule, h.Action, h.Severity, true}
				}
			}
		}
	}
	for _, end := range hours.rest() {
		if err := b.hour(e, memory, end); err != nil {
			return nil, err
		}
	}
	for _, f := range facts {
		for _, r := range e.rules {
			if row, ok := rows[f.ID][r.ID]; ok {
				b.Rows = append(b.Rows, row)
			}
		}
	}
	return b, nil
}

func (b *Backtest) note(j *Judgement) {
	for _, g := range j.NoData {
		if b.NoData[g.Rule] == nil {
			b.NoData[g.Rule] = map[string]int{}
		}
		for _, m := range g.Missing {
			b.NoData[g.Rule][m]++
		}
	}
}

func (b *Backtest) hour(e *Engine, m *Memory, f *Fact) error {
	j, err := e.Judge(f, &History{Hours: m.MerchantHours(f.Merchant, f.At.Add(time.Hour))})
	if err != nil {
		return err
	}
	for _, h := range j.Hits {
		b.Hours = append(b.Hours, HourRow{f.ID, f.Merchant, f.At, h.Rule, h.Action, h.Severity})
	}
	return nil
}

// hourClock says which merchants' hours have ended.
type hourClock struct{ at map[string]time.Time }

func newHourClock() *hourClock { return &hourClock{map[string]time.Time{}} }

// before gives the hour of the merchant's last transaction, once another hour
// has begun.
func (c *hourClock) before(f *Fact) []*Fact {
	hour := f.At.Truncate(time.Hour)
	last, known := c.at[f.Merchant]
	c.at[f.Merchant] = hour
	if !known || !hour.After(last) {
		return nil
	}
	return []*Fact{HourFact(f.Merchant, last)}
}

// rest gives the hours that nothing came after, by merchant.
func (c *hourClock) rest() (ends []*Fact) {
	for _, merchant := range slices.Sorted(maps.Keys(c.at)) {
		ends = append(ends, HourFact(merchant, c.at[merchant]))
	}
	return ends
}

// HourFact is the fact that judges a merchant's hour. Its id is no
// transaction's: see IsHour.
func HourFact(merchant string, hour time.Time) *Fact {
	hour = hour.UTC().Truncate(time.Hour)
	return &Fact{ID: merchant + "@" + hour.Format("2006-01-02T15"), At: hour, Kind: HourEnd, Merchant: merchant}
}

// IsHour reports whether an id is a merchant's hour's.
func IsHour(id string) bool { return strings.Contains(id, "@") }

// Fits says which rules speak for which labelled typology.
var Fits = map[string][]string{
	"structuring":                    {"R08", "R09"},
	"velocity_burst":                 {"R14", "R15"},
	"mule_fan_in":                    {"R06"},
	"min_play_passthrough":           {"R12", "R13"},
	"shared_device":                  {"R22"},
	"multi_account_one_iban":         {"R05"},
	"third_party_account":            {"R01"},
	"cross_merchant_over_limit_1000": {"R10"},
	"dormant_reactivation":           {"R19"},
	"escalating_deposits":            {"R16"},
	"high_risk_country_ip":           {"R26"},
	"payout_new_foreign_iban":        {"R03", "R04"},
}

// Label says that a transaction belongs to a typology.
type Label struct{ Tx, Player, Name string }

// labelColumns are what a file of labels must have, in any order, among others.
var labelColumns = []string{"tx_id", "player", "label"}

// ReadLabels reads tab-separated labels; a header line names the columns. A
// line that is no label is an error that names it.
func ReadLabels(r io.Reader) ([]Label, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	var out []Label
	var at []int // of each of labelColumns
	line := 0
	for scanner.Scan() {
		line++
		text := strings.TrimRight(scanner.Text(), "\r")
		if line == 1 {
			text = strings.TrimPrefix(text, "\xef\xbb\xbf")
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		cells := strings.Split(text, "\t")
		if at == nil {
			for _, name := range labelColumns {
				i := slices.Index(cells, name)
				if i < 0 {
					return nil, fmt.Errorf("line %d: the header lacks %s: it must name %s", line, name, strings.Join(labelColumns, ", "))
				}
				at = append(at, i)
			}
			continue
		}
		if len(cells) <= slices.Max(at) || cells[at[0]] == "" || cells[at[1]] == "" || cells[at[2]] == "" {
			return nil, fmt.Errorf("line %d: %s must be given", line, strings.Join(labelColumns, ", "))
		}
		out = append(out, Label{cells[at[0]], cells[at[1]], cells[at[2]]})
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", line+1, err)
	}
	return out, nil
}

// Recall is how many of a typology's players were found.
type Recall struct {
	Label   string   `json:"label"`
	Rules   []string `json:"rules"`
	Players int      `json:"players"`
	Found   int      `json:"found"`   // a fitting row on a transaction no later than their last labelled one
	AtOnce  int      `json:"at_once"` // the same by rows that were no mere link: known when the transaction came
	Share   float64  `json:"recall"`
}

// Measured is the table a backtest ends with.
type Measured struct {
	Recall  []Recall `json:"recall"`
	Normal  int      `json:"normal_players"` // without any label
	Alerted int      `json:"normal_alerted"` // with any row
	Share   float64  `json:"normal_share"`
	// Unmatched labels speak of transactions that are not in the stream; they
	// measure nothing.
	Unmatched int `json:"labels_without_transaction,omitempty"`
}

// Measure compares the rows with labels. It is an error when none of them has
// its transaction in the stream.
func (b *Backtest) Measure(labels []Label) (Measured, error) {
	order, players := map[string]int{}, map[string]bool{}
	for i, f := range b.Facts {
		order[f.ID], players[f.Player] = i, true
	}
	last := map[[2]string]int{} // player, label: his last labelled transaction
	labelled := map[string]bool{}
	unmatched := 0
	for _, l := range labels {
		labelled[l.Player] = true
		at, ok := order[l.Tx]
		if !ok {
			unmatched++
			continue
		}
		k := [2]string{l.Player, l.Name}
		last[k] = max(last[k], at)
	}
	if unmatched == len(labels) && unmatched > 0 {
		return Measured{}, fmt.Errorf("there is no transaction %q in the stream, nor that of any other label", labels[0].Tx)
	}
	found, atOnce, alerted := map[[2]string]bool{}, map[[2]string]bool{}, map[string]bool{}
	for _, r := range b.Rows {
		alerted[r.Player] = true
		for name, fits := range Fits {
			k := [2]string{r.Player, name}
			if until, ok := last[k]; ok && order[r.Tx] <= until && slices.Contains(fits, r.Rule) {
				found[k] = true
				atOnce[k] = atOnce[k] || !r.Linked
			}
		}
	}
	m := tally(last, found, atOnce, players, labelled, alerted)
	m.Unmatched = unmatched
	return m, nil
}

func tally(last map[[2]string]int, found, atOnce map[[2]string]bool, players, labelled, alerted map[string]bool) Measured {
	var out Measured
	by := map[string]*Recall{}
	for k := range last {
		r := by[k[1]]
		if r == nil {
			r = &Recall{Label: k[1], Rules: Fits[k[1]]}
			by[k[1]] = r
		}
		r.Players++
		if found[k] {
			r.Found++
		}
		if atOnce[k] {
			r.AtOnce++
		}
	}
	for _, r := range by {
		r.Share = float64(r.Found) / float64(r.Players)
		out.Recall = append(out.Recall, *r)
	}
	slices.SortFunc(out.Recall, func(a, b Recall) int { return strings.Compare(a.Label, b.Label) })
	for p := range players {
		if !labelled[p] {
			out.Normal++
			if alerted[p] {
				out.Alerted++
			}
		}
	}
	if out.Normal > 0 {
		out.Share = float64(out.Alerted) / float64(out.Normal)
	}
	return out
}

// WriteTSV writes the rows under a header.
func (b *Backtest) WriteTSV(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "tx_id\tplayer\trule\taction\tseverity")
	for _, r := range b.Rows {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", r.Tx, r.Player, r.Rule, r.Action, r.Severity)
	}
	return out.Flush()
}
