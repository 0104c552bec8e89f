package rulebook

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

const prefixSet = "rls"

// State is where a set stands; see the package comment.
type State string

// States of a set.
const (
	StateDraft     State = "draft"
	StateShadow    State = "shadow"
	StatePublished State = "published"
	StateRetired   State = "retired"
	StateWithdrawn State = "withdrawn"
)

// Origins of a set.
const (
	OriginShipped = "shipped"
	OriginOfficer = "officer"
)

// Set is a whole catalogue with its life. Times are zero while they have not
// come.
type Set struct {
	ID            string
	Number        int64 // of the publication
	State         State
	Origin        string
	BaseID        string // in force when it was drafted
	Catalogue     string // YAML
	Hash          string // SHA-256 of the catalogue
	Reason        string
	DraftedBy     string
	DraftedName   string
	DraftedAt     time.Time
	TestedAt      time.Time // newest backtest
	ShadowBy      string
	ShadowAt      time.Time
	PublishedBy   string
	PublishedName string
	PublishedAt   time.Time
	EndedAt       time.Time // retired or withdrawn
	Manifest      string    // what JWS signs
	JWS           string    // detached
	SignedAt      time.Time

	draftedCred string
}

// Manifest is what a publication signs.
type Manifest struct {
	Format      string `json:"format"`
	ID          string `json:"id"`
	Number      int64  `json:"number"`
	Hash        string `json:"sha256"`
	BaseID      string `json:"base"`
	Origin      string `json:"origin"`
	Reason      string `json:"reason"`
	DraftedBy   string `json:"drafted_by"`
	DraftedAt   int64  `json:"drafted_at"` // microseconds since 1970
	PublishedBy string `json:"published_by"`
	PublishedAt int64  `json:"published_at"`
}

// ManifestFormat names the manifest's form.
const ManifestFormat = "rialto-rules/1"

type setRow struct {
	ID            string `db:"id"`
	Number        int64  `db:"number"`
	State         string `db:"state"`
	Origin        string `db:"origin"`
	BaseID        string `db:"base_id"`
	Catalogue     string `db:"catalogue"`
	Hash          string `db:"hash"`
	Reason        string `db:"reason"`
	DraftedBy     string `db:"drafted_by"`
	DraftedName   string `db:"drafted_name"`
	DraftedCred   string `db:"drafted_cred"`
	DraftedAt     int64  `db:"drafted_at"`
	TestedAt      int64  `db:"tested_at"`
	ShadowBy      string `db:"shadow_by"`
	ShadowAt      int64  `db:"shadow_at"`
	PublishedBy   string `db:"published_by"`
	PublishedName string `db:"published_name"`
	PublishedAt   int64  `db:"published_at"`
	EndedAt       int64  `db:"ended_at"`
	Manifest      string `db:"manifest"`
	JWS           string `db:"jws"`
	SignedAt      int64  `db:"signed_at"`
}

const setColumns = `id, number, state, origin, base_id, catalogue, hash, reason, drafted_by, drafted_name, drafted_cred, drafted_at, tested_at,
	shadow_by, shadow_at, published_by, published_name, published_at, ended_at, manifest, jws, signed_at`

const selectSets = `SELECT ` + setColumns + ` FROM rulebook_sets`

func (r setRow) set() *Set {
	return &Set{r.ID, r.Number, State(r.State), r.Origin, r.BaseID, r.Catalogue, r.Hash, r.Reason, r.DraftedBy, r.DraftedName, at(r.DraftedAt), at(r.TestedAt),
		r.ShadowBy, at(r.ShadowAt), r.PublishedBy, r.PublishedName, at(r.PublishedAt), at(r.EndedAt), r.Manifest, r.JWS, at(r.SignedAt), r.DraftedCred}
}

func at(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func get(get getter, id string) (*Set, error) {
	var r setRow
	err := get(&r, selectSets+` WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound("rule set")
	}
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	return r.set(), nil
}

func (b *Book) fresh(tx *store.Tx, text []byte, base, reason string) *Set {
	return &Set{ID: psd2.NewID(prefixSet, tx.Now, b.deps.Random), State: StateDraft, Origin: OriginOfficer, BaseID: base, Catalogue: string(text), Hash: hashOf(text),
		Reason: reason, DraftedAt: tx.Now}
}

func insert(tx *store.Tx, s *Set, credential string) error {
	_, err := tx.Exec(`INSERT INTO rulebook_sets (`+setColumns+`) VALUES (?,0,?,?,?,?,?,?,?,?,?,?,0,'',0,'','',0,0,'','',0)`,
		s.ID, string(s.State), s.Origin, s.BaseID, s.Catalogue, s.Hash, s.Reason, s.DraftedBy, s.DraftedName, credential, s.DraftedAt.UnixMicro())
	return err
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func parse(text []byte) (*rules.Catalogue, error) { return rules.ParseCatalogue(bytes.NewReader(text)) }

// compiles says whether a catalogue is right in all its profiles, and which
// versions of rules it holds: by rule and version, the profile.
func compiles(c *rules.Catalogue, lists *rules.Lists) (map[[2]string]string, error) {
	versions := map[[2]string]string{}
	if len(c.Profiles) == 0 {
		return nil, errors.New("rules: catalogue: it holds no profile")
	}
	for _, profile := range c.ProfileNames() {
		e, err := c.Compile(profile, lists)
		if err != nil {
			return nil, err
		}
		for _, r := range e.Rules() {
			versions[[2]string{r.ID, r.Version}] = profile
		}
		if a := e.Acting(); a != nil {
			versions[[2]string{rules.ModelRule, a.ID()}] = profile
		}
	}
	return versions, nil
}

// head is what is in force.
type head struct {
	Revision  int64  `db:"revision"`
	Published string `db:"published"`
	Shadow    string `db:"shadow"`
}

func readHead(get getter) (h head, err error) {
	if err = get(&h, `SELECT revision, published, shadow FROM rulebook_head WHERE id = 1`); err != nil {
		err = fmt.Errorf("rulebook: %w", err)
	}
	return h, err
}

// lockHead makes everybody else who changes what is in force wait.
func lockHead(tx *store.Tx) (head, error) {
	if _, err := tx.Exec(`UPDATE rulebook_head SET revision = revision WHERE id = 1`); err != nil {
		return head{}, err
	}
	return readHead(tx.Get)
}

func moveHead(tx *store.Tx, published, shadow string) error {
	_, err := tx.Exec(`UPDATE rulebook_head SET revision = revision + 1, published = ?, shadow = ? WHERE id = 1`, published, shadow)
	return err
}

// sign makes a set's manifest and signs it.
func (b *Book) sign(s *Set, now time.Time) error {
	manifest, err := json.Marshal(Manifest{ManifestFormat, s.ID, s.Number, s.Hash, s.BaseID, s.Origin, s.Reason, s.DraftedBy, s.DraftedAt.UnixMicro(), s.PublishedBy, s.PublishedAt.UnixMicro()})
	if err != nil {
		return err
	}
	key, err := b.deps.Keys.Signer(jose.ES256, now)
	if err != nil {
		return err
	}
	s.Manifest, s.SignedAt = string(manifest), now
	s.JWS, err = jose.SignDetached(key, manifest, now)
	return err
}

// verify says which key signed a published set, or why it must not be used.
func (b *Book) verify(s *Set) (keyID string, err error) { return s.verify(b.deps.Keys.Public()) }

func (s *Set) verify(keys *jose.PublicKeySet) (keyID string, err error) {
	v, err := jose.VerifyDetached(s.JWS, keys, []byte(s.Manifest), s.SignedAt)
	if err != nil {
		return "", fmt.Errorf("rulebook: set %s: its signature does not verify: %w", s.ID, err)
	}
	var m Manifest
	if err := json.Unmarshal([]byte(s.Manifest), &m); err != nil {
		return "", fmt.Errorf("rulebook: set %s: %w", s.ID, err)
	}
	if m.Format != ManifestFormat || m.ID != s.ID || m.Number != s.Number || m.Hash != s.Hash || m.Hash != hashOf([]byte(s.Catalogue)) {
		return "", fmt.Errorf("rulebook: set %s is not what was signed", s.ID)
	}
	return v.KeyID, nil
}
