package banks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/psd2"
)

// Entry is one bank of the registry: what a payer finds it by, and which
// adapter reaches it with which profile.
type Entry struct {
	ID        string   `yaml:"id"`         // lower-case letters, digits, hyphens; stands in payments, so it never changes
	Name      string   `yaml:"name"`       // as payers know it
	Aliases   []string `yaml:"aliases"`    // other words they type
	BICs      []string `yaml:"bics"`       // ISO 9362, 8 or 11 characters
	BankCodes []string `yaml:"bank_codes"` // national bank codes, e.g. the German BLZ
	Countries []string `yaml:"countries"`  // ISO 3166 alpha-2, where it serves payers
	Adapter   string   `yaml:"adapter"`    // a key of the factories given to Build
	// Disabled is why nobody may start a payment here; "" when they may. Orders
	// that are already there are still asked about.
	Disabled string `yaml:"disabled"`
	// Profile is the adapter's own configuration; DecodeProfile reads it.
	Profile map[string]any `yaml:"profile"`
}

// DecodeProfile decodes the profile into the adapter's Config. A field the
// adapter does not know is an error: a misspelt switch must not be ignored.
func (e Entry) DecodeProfile(config any) error {
	raw, err := yaml.Marshal(e.Profile)
	if err != nil {
		return fmt.Errorf("bank %s: profile: %w", e.ID, err)
	}
	if err := decodeStrict(raw, config); err != nil {
		return fmt.Errorf("bank %s: profile: %w", e.ID, err)
	}
	return nil
}

// Deps is what every adapter is given.
type Deps struct {
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: discards
	// Wrap puts tracing and metrics around an adapter's transport; nil leaves
	// it as it is. It must not retry.
	Wrap func(bankID string, rt http.RoundTripper) http.RoundTripper
}

// Factory makes the adapter of an entry. cmd holds the map from Entry.Adapter
// to Factory.
type Factory func(Entry, Deps) (Bank, error)

// ParseEntries reads a registry file: a YAML document with the one key "banks".
// Unknown and duplicate keys, malformed BICs, countries and ids are errors, and
// so is an id that appears twice.
func ParseEntries(document []byte) ([]Entry, error) {
	var file struct {
		Banks []Entry `yaml:"banks"`
	}
	if err := decodeStrict(document, &file); err != nil {
		return nil, fmt.Errorf("bank registry: %w", err)
	}
	if err := CheckEntries(file.Banks); err != nil {
		return nil, err
	}
	return file.Banks, nil
}

func decodeStrict(document []byte, dst any) error {
	d := yaml.NewDecoder(bytes.NewReader(document))
	d.KnownFields(true)
	if err := d.Decode(dst); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return errors.New("more than one YAML document")
	}
	return nil
}

var (
	entryID  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	country  = regexp.MustCompile(`^[A-Z]{2}$`)
	bankCode = regexp.MustCompile(`^[0-9A-Z]{3,11}$`)
)

// CheckEntries reports what is wrong with entries, all of it at once.
func CheckEntries(entries []Entry) error {
	var wrong []error
	seen := map[string]bool{}
	for i, e := range entries {
		say := func(format string, args ...any) {
			wrong = append(wrong, fmt.Errorf("bank registry: entry %d (%s): %s", i+1, e.ID, fmt.Sprintf(format, args...)))
		}
		if !entryID.MatchString(e.ID) {
			say("id must be lower-case letters, digits and hyphens")
		}
		if seen[e.ID] {
			say("id is used twice")
		}
		seen[e.ID] = true
		if strings.TrimSpace(e.Name) == "" {
			say("name is missing")
		}
		if e.Adapter == "" {
			say("adapter is missing")
		}
		for _, b := range e.BICs {
			if !psd2.IsBIC(b) {
				say("%q is not a BIC", b)
			}
		}
		for _, c := range e.Countries {
			if !country.MatchString(c) {
				say("%q is not an ISO 3166 country", c)
			}
		}
		for _, c := range e.BankCodes {
			if !bankCode.MatchString(c) {
				say("%q is not a bank code", c)
			}
		}
	}
	return errors.Join(wrong...)
}

// Build makes the adapters of all entries. A disabled entry is built too when
// its profile allows it, because orders sent before it was disabled must still
// be asked about; when its profile is unfinished it is left out.
func Build(entries []Entry, factories map[string]Factory, deps Deps) (map[string]Bank, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	built := map[string]Bank{}
	var wrong []error
	for _, e := range entries {
		factory, known := factories[e.Adapter]
		if !known {
			wrong = append(wrong, fmt.Errorf("bank %s: there is no adapter %q", e.ID, e.Adapter))
			continue
		}
		bank, err := factory(e, deps)
		switch {
		case err == nil:
			built[e.ID] = bank
		case e.Disabled == "":
			wrong = append(wrong, err)
		}
	}
	return built, errors.Join(wrong...)
}

// Reasons why a payer cannot choose a bank just now.
const (
	ReasonDisabled     = "disabled"      // by the operator; Entry.Disabled says why
	ReasonNotAnswering = "not_answering" // several calls in a row got no answer
	ReasonBusy         = "busy"          // the bank asked us to come back later
)

// Listing is an entry as a payer sees it now.
type Listing struct {
	Entry
	Approaches []Approach // nil when no adapter could be built
	Available  bool
	Reason     string        // one of the Reason constants; "" when available
	Until      time.Time     // when a bank that does not answer is tried again; zero otherwise
	Latency    time.Duration // smoothed time of answered calls; 0 before the first
	Unanswered int           // calls in a row that got no answer
	// PresumedUnavailable: five requests in a row got no answer, which is what
	// RTS Art. 33(1) asks before it presumes a bank's interface unavailable.
	PresumedUnavailable bool
}

// Registry is the set of banks and what is known of their health. It is safe
// for concurrent use.
type Registry struct {
	entries []Entry
	banks   map[string]Bank
	now     func() time.Time

	mu       sync.Mutex
	records  map[string]*record
	others   map[string][]*record // of other processes, by bank
	shared   Shared
	holder   string
	recalled bool // what this process shared before its restart has been taken in
}

// NewRegistry makes a registry of entries and the adapters built for them (by
// Build, or by hand). An entry without an adapter is listed as disabled.
func NewRegistry(entries []Entry, built map[string]Bank, now func() time.Time) *Registry {
	r := &Registry{banks: built, now: now, records: map[string]*record{}}
	for _, e := range entries {
		if built[e.ID] == nil && e.Disabled == "" {
			e.Disabled = "no adapter"
		}
		r.entries = append(r.entries, e)
		r.records[e.ID] = &record{}
	}
	slices.SortStableFunc(r.entries, func(a, b Entry) int { return strings.Compare(fold(a.Name), fold(b.Name)) })
	return r
}

// Bank finds a bank by id, whether or not it is available: an order that was
// sent must be asked about. Whoever starts a new order looks at Listing first.
func (r *Registry) Bank(id string) (Bank, Entry, bool) {
	i := slices.IndexFunc(r.entries, func(e Entry) bool { return e.ID == id })
	if i < 0 || r.banks[id] == nil {
		return nil, Entry{}, false
	}
	return r.banks[id], r.entries[i], true
}

// List gives all banks in the order of their names.
func (r *Registry) List() []Listing {
	list := make([]Listing, 0, len(r.entries))
	for _, e := range r.entries {
		list = append(list, r.listing(e))
	}
	return list
}

// Listing is one bank of List.
func (r *Registry) Listing(id string) (Listing, bool) {
	i := slices.IndexFunc(r.entries, func(e Entry) bool { return e.ID == id })
	if i < 0 {
		return Listing{}, false
	}
	return r.listing(r.entries[i]), true
}

func (r *Registry) listing(e Entry) Listing {
	l := Listing{Entry: e, Available: true}
	if b := r.banks[e.ID]; b != nil {
		l.Approaches = b.Info().Approaches
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	own := r.records[e.ID]
	known := own.Breaker
	l.Latency = own.Latency
	if others := r.others[e.ID]; len(others) > 0 {
		all := merged(own, others)
		known, l.Latency = all.Breaker, all.Latency
	}
	l.Unanswered, l.PresumedUnavailable = known.Failures, known.Failures >= unavailableAfter
	if e.Disabled != "" {
		l.Available, l.Reason = false, ReasonDisabled
	} else if r.now().Before(known.Until) {
		l.Available, l.Reason, l.Until = false, known.Reason, known.Until
	}
	return l
}

// History is how a bank did: the last hour by approach ("" is all of them) and
// the last week hour by hour, oldest first.
type History struct {
	Hour map[Approach]Measure
	Week []Measure
}

// History tells how a bank did, in all processes.
func (r *Registry) History(id string) History {
	r.mu.Lock()
	defer r.mu.Unlock()
	own, h, now := r.records[id], History{Hour: map[Approach]Measure{}}, r.now()
	if own == nil {
		return h
	}
	all := merged(own, r.others[id])
	for a, s := range all.Short {
		h.Hour[Approach(a)] = s.sum(shortStep, shortLen, now)
	}
	h.Week = all.Long.over(longStep, longLen, now)
	return h
}

// Prober is a bank that can be asked for a sign of life: any answer will do,
// and nothing at the bank changes.
type Prober interface {
	Probe(ctx context.Context) error
}

// Probe asks the banks that are out of the choice, and can be asked, for a
// sign of life once their pause is over, so that no payer has to be the trial.
func (r *Registry) Probe(ctx context.Context, limit time.Duration) {
	var asked sync.WaitGroup
	for _, l := range r.List() {
		p, ok := r.banks[l.ID].(Prober)
		if !ok || l.Reason == ReasonDisabled || l.Unanswered < TripAfter || r.now().Before(l.Until) {
			continue
		}
		asked.Go(func() {
			call, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			began := time.Now()
			r.Observe(l.ID, "", p.Probe(call), time.Since(began))
		})
	}
	asked.Wait()
}

// Search gives the banks of List that match what a payer typed: every word of
// it begins a word of the name or of an alias, or the whole begins a BIC or a
// bank code. An empty query matches all.
func (r *Registry) Search(query string) []Listing {
	return slices.DeleteFunc(r.List(), func(l Listing) bool { return !l.Matches(query) })
}

// Matches reports whether the entry is one of those Search gives. Case and
// accents do not matter.
func (e Entry) Matches(query string) bool {
	wanted := strings.FieldsFunc(fold(query), notWord)
	if len(wanted) == 0 {
		return true
	}
	code := strings.ToUpper(strings.Join(wanted, ""))
	if slices.ContainsFunc(slices.Concat(e.BICs, e.BankCodes), func(c string) bool { return strings.HasPrefix(c, code) }) {
		return true
	}
	var words []string
	for _, name := range append([]string{e.Name}, e.Aliases...) {
		words = append(words, strings.FieldsFunc(fold(name), notWord)...)
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(word, w) }) {
			return false
		}
	}
	return true
}

func notWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// fold lowers the case and drops accents, so that "cafe" finds "Café".
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFD.String(s))
}

// Observe tells the registry how a call to a bank ended, and how long it took;
// a is how the payer is authenticated, "" when that is not known yet. err is
// what the adapter returned; nil is an answer. The caller sits above the
// adapter, so nothing wraps it.
func (r *Registry) Observe(bankID string, a Approach, err error, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if own := r.records[bankID]; own != nil {
		own.observe(a, err, took, r.now())
	}
}
