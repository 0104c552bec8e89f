package rulebook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// ProofFormat names the form of a Proof.
const ProofFormat = "rialto-alert/1"

// Proof is an alert with all that is needed to judge it again without a hub:
// what each hit saw, the signed sets that hold the rules' versions, and the
// versions of the fraud score that acted. It may hold what is personal.
type Proof struct {
	Format string          `json:"format"`
	Alert  string          `json:"alert"`
	Family string          `json:"family"`
	Hits   []ProvenHit     `json:"hits"`
	Sets   []ProvenSet     `json:"sets"`
	Models []*score.Model  `json:"models,omitempty"`
	Keys   json.RawMessage `json:"keys"` // JWKS of the hub when it was made
}

// ProvenHit is a hit. Set is "" for one that no rule of a set made.
type ProvenHit struct {
	ID      string          `json:"id"`
	Rule    string          `json:"rule"`
	Version string          `json:"version"`
	Object  string          `json:"object,omitempty"`
	At      time.Time       `json:"at"`
	Set     string          `json:"set,omitempty"`
	Profile string          `json:"profile,omitempty"`
	Inputs  json.RawMessage `json:"inputs,omitempty"` // none: its person was erased
}

// ProvenSet is a published set.
type ProvenSet struct {
	ID        string    `json:"id"`
	Catalogue string    `json:"catalogue"`
	Manifest  string    `json:"manifest"`
	JWS       string    `json:"jws"` // detached, over Manifest
	SignedAt  time.Time `json:"signed_at"`
}

// Prove makes the proof of an alert from its hits.
func (b *Book) Prove(ctx context.Context, a compliance.Alert, hits []compliance.Hit) (*Proof, error) {
	keys, err := b.deps.Keys.PublicJWKS(b.deps.Store.Now())
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	p := &Proof{Format: ProofFormat, Alert: a.ID, Family: a.Family, Keys: keys}
	for _, h := range hits {
		one := ProvenHit{ID: h.ID, Rule: h.Rule, Version: h.RuleVersion, Object: h.ObjectID, At: h.At(), Inputs: h.Inputs}
		if stored, ok := ruleHit(h.Inputs); ok {
			s, profile, err := b.setOf(ctx, stored.Rule, stored.Version)
			if err != nil {
				return nil, err
			}
			one.Set, one.Profile = s.ID, profile
			if err := p.add(ctx, b, s, stored); err != nil {
				return nil, err
			}
		}
		p.Hits = append(p.Hits, one)
	}
	return p, nil
}

// ruleHit reads a hit that a rule of a set made.
func ruleHit(inputs json.RawMessage) (h rules.Hit, ok bool) {
	return h, inputs != nil && json.Unmarshal(inputs, &h) == nil && h.When != ""
}

// add takes in what a hit needs, once.
func (p *Proof) add(ctx context.Context, b *Book, s *Set, h rules.Hit) error {
	if !slices.ContainsFunc(p.Sets, func(x ProvenSet) bool { return x.ID == s.ID }) {
		p.Sets = append(p.Sets, ProvenSet{s.ID, s.Catalogue, s.Manifest, s.JWS, s.SignedAt})
	}
	version, _ := h.Inputs["model"].(string)
	if h.Rule != rules.ModelRule || slices.ContainsFunc(p.Models, func(m *score.Model) bool { return m.Version == version }) || b.deps.Models == nil {
		return nil
	}
	m, err := b.deps.Models.Model(ctx, version)
	if err == nil {
		p.Models = append(p.Models, m)
	}
	return err
}

// maxProof is the largest proof that is read.
const maxProof = 64 << 20

// ReadProof reads a proof; its models must be what their versions say.
func ReadProof(r io.Reader) (*Proof, error) {
	var doc struct {
		Proof
		Models []json.RawMessage `json:"models"`
	}
	d := json.NewDecoder(io.LimitReader(r, maxProof))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("rulebook: proof: %w", err)
	}
	if doc.Format != ProofFormat {
		return nil, fmt.Errorf("rulebook: proof: its format is %q, not %s", doc.Format, ProofFormat)
	}
	for _, text := range doc.Models {
		m, err := score.ReadJSON(text)
		if err != nil {
			return nil, err
		}
		doc.Proof.Models = append(doc.Proof.Models, m)
	}
	return &doc.Proof, nil
}

// ErrNotARule says that a hit cannot be judged again from its proof alone: a
// list, a factor or a person made it, or its inputs were erased.
var ErrNotARule = errors.New("rulebook: proof: no rule of a set made it")

// Check judges a hit of the proof again. Its set must be signed by one of the
// keys and hold the rule in the version that is recorded. Nil means the same
// result.
func (p *Proof) Check(h ProvenHit, keys *jose.PublicKeySet) error {
	stored, ok := ruleHit(h.Inputs)
	if !ok {
		return ErrNotARule
	}
	if stored.Rule != h.Rule || stored.Version != h.Version {
		return fmt.Errorf("rulebook: proof: its inputs are of rule %s in version %s", stored.Rule, stored.Version)
	}
	i := slices.IndexFunc(p.Sets, func(s ProvenSet) bool { return s.ID == h.Set })
	if i < 0 {
		return errors.New("rulebook: proof: its set is missing")
	}
	x := p.Sets[i]
	s := &Set{ID: x.ID, Catalogue: x.Catalogue, Manifest: x.Manifest, JWS: x.JWS, SignedAt: x.SignedAt}
	var m Manifest
	if err := json.Unmarshal([]byte(x.Manifest), &m); err != nil {
		return fmt.Errorf("rulebook: set %s: %w", x.ID, err)
	}
	s.Number, s.Hash = m.Number, m.Hash
	if _, err := s.verify(keys); err != nil {
		return err
	}
	now, err := replay(stored, x.Catalogue, h.Profile, nil, func(version string) (*score.Model, error) {
		i := slices.IndexFunc(p.Models, func(m *score.Model) bool { return m.Version == version })
		if i < 0 {
			return nil, fmt.Errorf("rulebook: proof: model %s is missing", version)
		}
		return p.Models[i], nil
	})
	if err == nil && !Same(stored, now) {
		err = fmt.Errorf("rulebook: proof: it comes out as grade %d, %s, %s", now.Grade, now.Action, now.Severity)
	}
	return err
}
