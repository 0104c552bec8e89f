package screening

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/rialto-hub/rialto/compliance/names"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// person is who is to be screened, with his name for as long as that takes.
type person struct {
	ID, MerchantID string
	ObjectID       string // which tells it
	Name, Born     string
	Country        string
	player         string // the merchant's name for him
}

func (p *person) query() names.Query {
	q := names.Query{Name: p.Name, Kind: names.KindPerson, Country: p.Country}
	q.Born, _ = names.ParseBorn(p.Born)
	return q
}

// facts is a keyed hash of what is compared with lists.
func (s *Service) facts(p *person) string {
	return s.deps.Store.Lookup("screening/facts", strings.Join([]string{p.Name, p.Born, p.Country}, "\x00"))
}

// age orders objects by their creation, whatever they are.
func age(objectID string) string {
	_, id, _ := strings.Cut(objectID, "_")
	return id
}

// load reads who an object is about; nil when his data were erased (what is left
// of the object names nobody), or when it concerns no player.
func (s *Service) load(ctx context.Context, objectID string) (*person, error) {
	var p *person
	switch {
	case psd2.IsID(psd2.PrefixPayment, objectID):
		o, err := s.deps.Store.Payment(ctx, objectID)
		if err != nil {
			return nil, gone(err)
		}
		p = ofPayment(o)
	case psd2.IsID(psd2.PrefixRefund, objectID), psd2.IsID(psd2.PrefixPayout, objectID):
		o, err := s.deps.Store.Transfer(ctx, objectID)
		if err != nil {
			return nil, gone(err)
		}
		p = ofTransfer(o)
	}
	if p == nil || p.player == "" {
		return nil, nil
	}
	return p, nil
}

func ofPayment(o *psd2.Payment) *person {
	return named(o.PersonID, o.MerchantID, o.ID, o.Personal.Player)
}

func ofTransfer(o *psd2.Transfer) *person {
	return named(o.PersonID, o.MerchantID, o.ID, o.Personal.Player)
}

func named(id, merchant, object string, p psd2.Player) *person {
	return &person{ID: id, MerchantID: merchant, ObjectID: object, Name: strings.TrimSpace(p.Name), Born: p.DateOfBirth, Country: p.Residence, player: p.Reference}
}

func gone(err error) error {
	if errors.Is(err, store.ErrErased) || psd2.CodeOf(err) == psd2.CodeNotFound {
		return nil
	}
	return err
}

type personRow struct {
	ID         string `db:"person_id"`
	ObjectID   string `db:"object_id"`
	FactsHash  string `db:"facts_hash"`
	Pending    int64  `db:"pending"`
	ScreenedAt int64  `db:"screened_at"`
}

const selectPersons = `SELECT person_id, object_id, facts_hash, pending, screened_at FROM screening_persons `

// register notes a person, and that he has to be screened when he is new or is
// named differently than before. An older object changes nothing.
func (s *Service) register(tx *store.Tx, p *person) error {
	facts := s.facts(p)
	var old personRow
	err := tx.Get(&old, selectPersons+`WHERE person_id = ?`, p.ID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		_, err = tx.Exec(`INSERT INTO screening_persons (person_id, object_id, facts_hash, lists, pending, seen_at, screened_at) VALUES (?,?,?,'',1,?,0)
			ON CONFLICT (person_id) DO NOTHING`, p.ID, p.ObjectID, facts, tx.Now.UnixMicro())
		return err
	case err != nil, old.FactsHash == facts, age(p.ObjectID) < age(old.ObjectID), p.Name == "":
		return err
	}
	_, err = tx.Exec(`UPDATE screening_persons SET object_id = ?, facts_hash = ?, pending = 1 WHERE person_id = ?`, p.ObjectID, facts, p.ID)
	return err
}

// newWalk takes in the persons that the journal's events are about. It shares its
// lease with the rest of this process's work.
func (s *Service) newWalk() *store.Walk[*person] {
	return &store.Walk[*person]{
		DB: s.deps.Store, Name: leaseName, Holder: s.deps.Holder, PerObject: true,
		Read: func(ctx context.Context, m store.Mark) (*person, error) { return s.load(ctx, m.ObjectID) },
		Take: func(tx *store.Tx, p *person) error {
			if p == nil {
				return nil
			}
			return s.register(tx, p)
		},
	}
}

// onboard screens who is new, or has changed.
func (s *Service) onboard(ctx context.Context, books library) (more bool, err error) {
	var rows []personRow
	if err := s.deps.Store.Select(ctx, &rows, selectPersons+`WHERE pending = 1 ORDER BY person_id LIMIT ?`, batch); err != nil || len(rows) == 0 {
		return false, err
	}
	if led, err := s.lead(ctx, nothing); err != nil || !led { // nobody compares for nothing
		return false, err
	}
	looked, err := s.look(ctx, books, rows)
	if err != nil {
		return false, err
	}
	var t tally
	led, err := s.lead(ctx, func(tx *store.Tx) error {
		t = tally{}
		return s.keepAll(tx, books, looked, nil, &t)
	})
	if led {
		s.metrics.add("onboarding", t)
	}
	return led && len(rows) == batch, err
}

// ErrUnscreened says that somebody has a name and was never compared with the
// lists, or not under this name, and that it cannot be done here and now.
var ErrUnscreened = errors.New("screening: not screened, and no lists are loaded")

// Onboard screens a payment's person at once, if he is new or his data have
// changed. The gate calls it before anything is initiated (Reg. 260/2012 Art.
// 5d: never while a transfer executes); Step does the same for whoever it meets
// first. With lists configured it fails with ErrUnscreened where none are
// loaded; without, and for who has no name, it does nothing.
func (s *Service) Onboard(ctx context.Context, p *psd2.Payment) error {
	return s.admit(ctx, ofPayment(p))
}

// OnboardPayee is Onboard for the player of a payout or refund.
func (s *Service) OnboardPayee(ctx context.Context, t *psd2.Transfer) error {
	return s.admit(ctx, ofTransfer(t))
}

func (s *Service) admit(ctx context.Context, who *person) error {
	if len(s.shelf.dirs) == 0 || who.Name == "" || who.ID == "" {
		return nil
	}
	facts := s.facts(who)
	var row personRow
	err := s.deps.Store.Get(ctx, &row, selectPersons+`WHERE person_id = ?`, who.ID)
	if err == nil && row.ScreenedAt != 0 && row.Pending == 0 && (row.FactsHash == facts || age(who.ObjectID) < age(row.ObjectID)) {
		return nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return wrap(err)
	}
	books := s.shelf.books()
	if books == nil {
		return ErrUnscreened
	}
	found := compareAll(books, who)
	var t tally
	err = s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		t = tally{}
		if err := s.register(tx, who); err != nil {
			return err
		}
		return s.keep(tx, books, look{personRow{ID: who.ID, FactsHash: facts}, who, found}, nil, &t)
	})
	if err == nil {
		s.metrics.add("onboarding", t)
	}
	return wrap(err)
}

// Forget removes what screening keeps about a person. It is what is left to
// erase here: his name was never kept, and the officers' findings follow the
// retention of the desk (GwG §8(4)). Screening a person whose data the hub has
// erased ends by itself.
func (s *Service) Forget(tx *store.Tx, personID string) error {
	for _, query := range []string{`DELETE FROM screening_hits WHERE person_id = ?`, `DELETE FROM screening_persons WHERE person_id = ?`} {
		if _, err := tx.Exec(query, personID); err != nil {
			return wrap(err)
		}
	}
	return nil
}
