package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // months are Berlin's wherever the hub runs
)

// Feature declares a number over an entity's past; see catalogue.yaml for the
// language.
type Feature struct {
	Over     string `yaml:"over" json:"over"`
	Of       string `yaml:"of" json:"of"`
	Window   string `yaml:"window" json:"window,omitempty"`
	Take     string `yaml:"take" json:"take"`
	From     string `yaml:"from" json:"from,omitempty"`
	To       string `yaml:"to" json:"to,omitempty"`
	Same     string `yaml:"same" json:"same,omitempty"`
	Before   bool   `yaml:"before" json:"before,omitempty"`
	Gambling bool   `yaml:"gambling" json:"gambling,omitempty"`
}

var (
	overs = []string{"player", "person", "iban", "device", "network", "hours"}
	ofs   = []string{"deposit", "payout", "refund", "any", "failed"}
	sames = []string{"", "merchant", "iban", "country"}
)

const (
	month   = -1 // as a window
	forever = 0
)

// measure is a compiled feature.
type measure struct {
	name     string
	over     string
	of       string
	window   int64 // microseconds, or month or forever
	take     take
	from, to int64 // to 0: no upper end
	same     string
	before   bool
	gambling bool
	hours    bool
	takeName string
}

func (d Feature) compile(name string, limits map[string]float64) (measure, error) {
	m := measure{name: name, over: d.Over, of: d.Of, same: d.Same, before: d.Before, gambling: d.Gambling, takeName: d.Take, hours: d.Over == "hours"}
	var err error
	if m.window, err = parseWindow(d.Window); err != nil {
		return m, fmt.Errorf("feature %s: %w", name, err)
	}
	if m.from, err = amountOf(d.From, limits); err == nil {
		m.to, err = amountOf(d.To, limits)
	}
	if err != nil {
		return m, fmt.Errorf("feature %s: %w", name, err)
	}
	known := false
	m.take, known = takes[d.Take]
	switch {
	case !slices.Contains(overs, d.Over):
		err = fmt.Errorf("over %q is none of %s", d.Over, strings.Join(overs, ", "))
	case !slices.Contains(ofs, d.Of):
		err = fmt.Errorf("of %q is none of %s", d.Of, strings.Join(ofs, ", "))
	case !slices.Contains(sames, d.Same):
		err = fmt.Errorf("same %q is not known", d.Same)
	case !known:
		err = fmt.Errorf("take %q is not known", d.Take)
	case m.hours && (d.Take != "sum" || m.window <= 0 || d.Of != "deposit" && d.Of != "refund"):
		err = fmt.Errorf("over hours only sums of deposits or refunds in a window can be taken")
	}
	if err != nil {
		return m, fmt.Errorf("feature %s: %w", name, err)
	}
	return m, nil
}

func parseWindow(s string) (int64, error) {
	switch {
	case s == "":
		return forever, nil
	case s == "month":
		return month, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 {
			return 0, fmt.Errorf("window %q is no length of time", s)
		}
		return int64(n) * int64(24*time.Hour/time.Microsecond), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("window %q is no length of time", s)
	}
	return d.Microseconds(), nil
}

func amountOf(s string, limits map[string]float64) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if v, ok := limits[s]; ok {
		return int64(v), nil
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is neither an amount nor a limit", s)
	}
	return v, nil
}

var berlin = func() *time.Location {
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic("rules: time zone: " + err.Error()) // tzdata is part of the binary
	}
	return l
}()

// MonthStart is when the calendar month of t began in Germany (GlüStV 2021
// §6c, GwG §16(4)).
func MonthStart(t time.Time) time.Time {
	t = t.In(berlin)
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, berlin)
}

// scope is one judgement: the fact as it will be remembered, and its past.
type scope struct {
	f     *Fact
	self  Observation
	h     *History
	month int64
	buf   []*Observation // reused: what a measure picked, newest first
}

func newScope(f *Fact, h *History) *scope {
	s := &scope{f: f, self: f.Observe(), h: h, month: MonthStart(f.At).UnixMicro()}
	if s.self.Status == Pending { // what is being judged counts, if nothing forbids it
		s.self.Status = Accepted
	}
	return s
}

func (s *scope) list(over string) []Observation {
	switch over {
	case "player":
		return s.h.Player
	case "person":
		return s.h.Person
	case "iban":
		return s.h.IBAN
	case "device":
		return s.h.Device
	}
	return s.h.Network
}

// present reports whether the transaction has that entity at all.
func (s *scope) present(over string) bool {
	switch over {
	case "player":
		return s.f.Player != ""
	case "person":
		return s.f.Person != ""
	case "iban":
		return s.f.IBAN != ""
	case "device":
		return s.f.Device != ""
	}
	return s.f.Network != ""
}

// start is the first moment inside the window.
func (s *scope) start(m *measure) int64 {
	switch m.window {
	case forever:
		return -1 << 62
	case month:
		return s.month
	}
	return s.self.At - m.window
}

// pick collects what a measure looks at, newest first, the transaction itself
// included unless the measure says before. The window is closed at both ends.
func (s *scope) pick(m *measure) []*Observation {
	out := s.buf[:0]
	if s.present(m.over) {
		if !m.before && m.wants(&s.self, s) {
			out = append(out, &s.self)
		}
		list, start := s.list(m.over), s.start(m)
		for i := len(list) - 1; i >= 0 && list[i].At >= start; i-- {
			if o := &list[i]; o.ID != s.self.ID && m.wants(o, s) {
				out = append(out, o)
			}
		}
	}
	s.buf = out
	return out
}

// wants reports whether a measure looks at an observation.
func (m *measure) wants(o *Observation, s *scope) bool {
	switch m.of {
	case "failed":
		if o.Status != Failed || o.Kind != Deposit {
			return false
		}
	case "any":
		if !o.Status.counts() {
			return false
		}
	default:
		if string(o.Kind) != m.of || !o.Status.counts() {
			return false
		}
	}
	switch m.same {
	case "merchant":
		if o.Merchant != s.self.Merchant {
			return false
		}
	case "iban":
		if o.IBAN != s.self.IBAN {
			return false
		}
	case "country":
		if o.Country != s.self.Country {
			return false
		}
	}
	return o.Amount >= m.from && (m.to == 0 || o.Amount <= m.to) && (!m.gambling || o.Gambling)
}

// value computes a feature.
func (s *scope) value(m *measure) float64 {
	if m.hours {
		return s.hoursSum(m)
	}
	return m.take(s, m, s.pick(m))
}

func (s *scope) hoursSum(m *measure) float64 {
	last := s.f.At.Unix() / 3600
	first := last - m.window/int64(time.Hour/time.Microsecond) + 1
	var sum int64
	for _, h := range s.h.Hours {
		if h.Hour < first || h.Hour > last {
			continue
		}
		if m.of == "refund" {
			sum += h.Refunds
		} else {
			sum += h.Sum
		}
	}
	return float64(sum)
}
