package screening

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/names"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2/store"
)

// maxHits bounds what one person may resemble on one list; the best are kept.
const maxHits = 16

// match is an entry that a person resembles.
type match struct {
	book *book
	hit  names.Hit
}

// compareAll compares a person with all lists.
func compareAll(books library, p *person) []match {
	var out []match
	for _, b := range books {
		for _, h := range b.index.Screen(p.query(), maxHits) {
			if h.Score >= b.threshold {
				out = append(out, match{b, h})
			}
		}
	}
	return out
}

// look is one person's comparison, ready to be stored.
type look struct {
	row    personRow
	person *person // nil: his data are gone
	found  []match
}

// look compares some persons; nothing is written.
func (s *Service) look(ctx context.Context, books library, rows []personRow) ([]look, error) {
	out := make([]look, len(rows))
	for i, r := range rows {
		p, err := s.load(ctx, r.ObjectID)
		if errors.Is(err, store.ErrDamaged) {
			p, err = &person{}, nil // as if he had no name: runs report him as left out
		}
		if err != nil {
			return nil, err
		}
		out[i] = look{row: r, person: p}
		if p != nil {
			out[i].found = compareAll(books, p)
		}
	}
	return out, nil
}

// tally counts what a transaction did.
type tally struct {
	persons, hits, cleared, failed int
	raised                         map[string]int
}

func (s *Service) keepAll(tx *store.Tx, books library, looked []look, only func(match) bool, t *tally) error {
	for _, l := range looked {
		if err := s.keep(tx, books, l, only, t); err != nil {
			return err
		}
	}
	return nil
}

// keep stores what a person resembles, and tells the officers what is new. Of
// the tally only what "only" lets through counts.
func (s *Service) keep(tx *store.Tx, books library, l look, only func(match) bool, t *tally) error {
	switch {
	case l.person == nil:
		return s.Forget(tx, l.row.ID)
	case l.person.Name == "": // only the journal can bring a name; until then runs report him as left out
		t.failed++
		_, err := tx.Exec(`UPDATE screening_persons SET pending = 0 WHERE person_id = ?`, l.row.ID)
		return err
	}
	for _, m := range l.found {
		if err := s.keepHit(tx, l, m, only == nil || only(m), t); err != nil {
			return err
		}
	}
	now := tx.Now.UnixMicro()
	// What he no longer resembles goes, by list: one that is not loaded stays.
	for _, b := range books {
		if _, err := tx.Exec(`DELETE FROM screening_hits WHERE person_id = ? AND list = ? AND last_at < ?`, l.row.ID, b.name, now); err != nil {
			return err
		}
	}
	list, _, _ := books.key()
	// Named differently since it was read: then he stays pending.
	_, err := tx.Exec(`UPDATE screening_persons SET lists = ?, screened_at = ?, pending = CASE WHEN facts_hash = ? THEN 0 ELSE pending END WHERE person_id = ?`,
		list, now, s.facts(l.person), l.row.ID)
	t.persons++
	return err
}

type hitRow struct {
	Basis      string `db:"basis"`
	Generation int64  `db:"generation"`
	Cleared    int64  `db:"cleared"`
	FirstAt    int64  `db:"first_at"`
}

func (s *Service) keepHit(tx *store.Tx, l look, m match, counts bool, t *tally) error {
	cleared, err := s.deps.Desk.Whitelisted(tx, l.row.ID, m.hit.EntryID)
	if err != nil {
		return err
	}
	now := tx.Now.UnixMicro()
	h := hitRow{Basis: s.basis(l.person, m), Generation: 1, FirstAt: now}
	var old hitRow
	err = tx.Get(&old, `SELECT basis, generation, cleared, first_at FROM screening_hits WHERE person_id = ? AND list = ? AND entry_id = ?`, l.row.ID, m.book.name, m.hit.EntryID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	default:
		h.Generation, h.FirstAt = old.Generation, old.FirstAt
		if old.Basis != h.Basis || old.Cleared == 1 && !cleared {
			h.Generation++ // something new to judge, or the time of its clearing is over
		}
	}
	agrees, year := agreement(m.hit.Explanation)
	_, err = tx.Exec(`INSERT INTO screening_hits (person_id, list, entry_id, score, agrees, year_agrees, basis, generation, cleared, first_at, last_at)
		VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (person_id, list, entry_id) DO UPDATE SET score = excluded.score, agrees = excluded.agrees,
			year_agrees = excluded.year_agrees, basis = excluded.basis, generation = excluded.generation, cleared = excluded.cleared, last_at = excluded.last_at`,
		l.row.ID, m.book.name, m.hit.EntryID, points(m.hit.Score), number(agrees), number(year), h.Basis, h.Generation, number(cleared), h.FirstAt, now)
	if err != nil {
		return err
	}
	if counts {
		t.hits++
	}
	if cleared {
		if counts {
			t.cleared++
		}
		return nil
	}
	if old.Generation == h.Generation {
		return nil // the officers have it
	}
	if t.raised == nil {
		t.raised = map[string]int{}
	}
	t.raised[m.book.name]++
	return s.raise(tx, l.person, m, h)
}

// basis changes when there is something new to judge about a person and an
// entry.
func (s *Service) basis(p *person, m match) string {
	return hashOf(s.facts(p), m.book.digests[m.hit.EntryID])
}

func hashOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d %s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func points(score float64) int64 { return int64(math.Floor(score * 10000)) }

// agreement says whether birth date or country speak for a hit and neither
// speaks against it, and whether the birth year does.
func agreement(e names.Explanation) (agrees, year bool) {
	year = e.BirthDate == names.Agrees || e.BirthDate == names.Near
	against := e.BirthDate == names.Contradict || e.Country == names.Contradict
	return !against && (year || e.Country == names.Agrees), year
}

// Inputs is what a finding's inputs hold: enough to see why, and to compute it
// again from the list with that hash. The desk seals it.
type Inputs struct {
	List        string            `json:"list"`
	ListHash    string            `json:"list_hash"`
	EntryID     string            `json:"entry_id"`
	EntryName   string            `json:"entry_name"`
	MatchedName string            `json:"matched_name"`
	Score       float64           `json:"score"`
	Threshold   float64           `json:"threshold"`
	Name        string            `json:"name"`
	BirthDate   string            `json:"birth_date,omitempty"`
	Country     string            `json:"country,omitempty"`
	Words       string            `json:"words"` // the explanation in one line
	Explanation names.Explanation `json:"explanation"`
}

// Replay computes a finding again from its stored inputs. The list must be the
// one it was made with; a list with another hash, or another result, is an
// error.
func Replay(list *names.List, stored json.RawMessage) (names.Hit, error) {
	var in Inputs
	if err := json.Unmarshal(stored, &in); err != nil {
		return names.Hit{}, fmt.Errorf("screening: replay: %w", err)
	}
	if list.Hash != in.ListHash {
		return names.Hit{}, errors.New("screening: replay: this is another version of the list")
	}
	return again(names.NewIndex(list), in)
}

func again(index *names.Index, in Inputs) (names.Hit, error) {
	p := person{Name: in.Name, Born: in.BirthDate, Country: in.Country}
	for _, h := range index.Screen(p.query(), maxHits) {
		if h.EntryID == in.EntryID && h.Score == in.Score {
			return h, nil
		}
	}
	return names.Hit{}, errors.New("screening: replay: the entry does not come out with this score")
}

// graded says which rule a list's hits belong to, and how grave one is.
func graded(m match) (rule, family string, severity int64) {
	agrees, _ := agreement(m.hit.Explanation)
	switch {
	case m.book.name == PEP:
		return "R28", "pep", compliance.SeverityMedium
	case m.hit.Score >= names.ExactFloor && agrees:
		return "R27", "sanctions", compliance.SeverityCritical
	}
	return "R27", "sanctions", compliance.SeverityHigh
}

func (s *Service) raise(tx *store.Tx, p *person, m match, h hitRow) error {
	inputs, err := json.Marshal(Inputs{
		List: m.book.name, ListHash: m.book.hash, EntryID: m.hit.EntryID, EntryName: m.hit.EntryName, MatchedName: m.hit.MatchedName,
		Score: m.hit.Score, Threshold: m.book.threshold, Name: p.Name, BirthDate: p.Born, Country: p.Country,
		Words: m.hit.Explanation.String(), Explanation: m.hit.Explanation,
	})
	if err != nil {
		return err
	}
	rule, family, severity := graded(m)
	f := compliance.Finding{
		ID:         "hit_scr_" + hashOf(p.ID, m.book.name, m.hit.EntryID, h.Basis, fmt.Sprint(h.Generation)),
		EntityKind: "person", EntityKey: p.ID, PersonID: p.ID, MerchantID: p.MerchantID, ObjectID: p.ObjectID,
		Rule: rule, Family: family, RuleVersion: "names:" + m.book.hash[:16], Severity: severity,
		Score: int64(m.hit.Score * 100), Inputs: inputs, At: tx.Now,
	}
	if key, ok := rules.Identity(p.Name, p.Born); ok { // one alert with what the monitor finds about him
		f.EntityKey = s.deps.Store.Lookup(rules.IdentityLookup, key)
	}
	if err := s.deps.Desk.Raise(tx, f); err != nil {
		return fmt.Errorf("raise: %w", err)
	}
	return nil
}

// Screened gives the newest stored results about a person, nil for what he was
// never screened against. It compares nothing: the payment path may ask
// (compliance/monitor does). What two officers have cleared does not count for
// as long as they said.
func (s *Service) Screened(ctx context.Context, personID string) (*rules.Screening, *rules.PEP, error) {
	var rows []struct {
		Lists      string `db:"lists"`
		ScreenedAt int64  `db:"screened_at"`
		List       string `db:"list"`
		EntryID    string `db:"entry_id"`
		Score      int64  `db:"score"`
		Agrees     int64  `db:"agrees"`
		Year       int64  `db:"year_agrees"`
	}
	err := s.deps.Store.Select(ctx, &rows, `SELECT p.lists, p.screened_at, COALESCE(h.list, '') AS list, COALESCE(h.entry_id, '') AS entry_id,
			COALESCE(h.score, 0) AS score, COALESCE(h.agrees, 0) AS agrees, COALESCE(h.year_agrees, 0) AS year_agrees
		FROM screening_persons p LEFT JOIN screening_hits h ON h.person_id = p.person_id WHERE p.person_id = ?`, personID)
	if err != nil || len(rows) == 0 || rows[0].ScreenedAt == 0 {
		return nil, nil, wrap(err)
	}
	sanctions, pep := &rules.Screening{}, &rules.PEP{}
	if rows[0].Lists == PEP {
		sanctions = nil
	}
	if rows[0].Lists == Sanctions {
		pep = nil
	}
	if rows[0].EntryID == "" {
		return sanctions, pep, nil
	}
	err = s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		for _, r := range rows {
			cleared, err := s.deps.Desk.Whitelisted(tx, personID, r.EntryID)
			if err != nil || cleared {
				if err != nil {
					return err
				}
				continue
			}
			score := float64(r.Score) / 10000
			switch {
			case r.List == PEP && pep != nil && better(score, r.Year == 1, pep.Score, pep.YearAgrees):
				pep.Score, pep.YearAgrees = score, r.Year == 1
			case r.List == Sanctions && sanctions != nil && better(score, r.Agrees == 1, sanctions.Score, sanctions.Agrees):
				sanctions.Score, sanctions.Agrees = score, r.Agrees == 1
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, wrap(err)
	}
	return sanctions, pep, nil
}

// better prefers what agrees in the second fact: a namesake born elsewhere must
// not hide the person himself.
func better(score float64, agrees bool, than float64, thanAgrees bool) bool {
	if agrees != thanAgrees {
		return agrees
	}
	return score > than
}
