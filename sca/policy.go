package sca

import (
	"math/big"
	"slices"

	"github.com/rialto-hub/rialto/psd2"
)

// Level is how sure the hub wants to be of the payer, beyond what his bank
// does.
type Level string

// Levels, in rising order. Block sends nothing.
const (
	None        Level = "none"
	Any         Level = "any"     // one factor
	Strong      Level = "strong"  // possession and verification bound to amount and payee: passkey or signed push
	WithPasskey Level = "passkey" // what cannot be relayed by a false page
	Block       Level = "block"
)

var levelOrder = []Level{None, Any, Strong, WithPasskey, Block}

func (l Level) rank() int { return slices.Index(levelOrder, l) }

// allowed are the methods of have that suffice for the level. TOTP is one
// element and not bound to the amount (RTS Art. 4, 5): it confirms at Any only.
func (l Level) allowed(have []Method) []Method {
	enough := map[Level][]Method{Any: {Passkey, Push, TOTP}, Strong: {Passkey, Push}, WithPasskey: {Passkey}}[l]
	var list []Method
	for _, m := range enough {
		if slices.Contains(have, m) {
			list = append(list, m)
		}
	}
	return list
}

// Exemption is a hint to the bank, which alone decides (RTS Art. 2(1), 10–18).
type Exemption string

// Exemptions.
const (
	LowValue  Exemption = "low_value"           // Art. 16
	Trusted   Exemption = "trusted_beneficiary" // Art. 13
	Recurring Exemption = "recurring"           // Art. 14
	TRA       Exemption = "transaction_risk"    // Art. 18
)

// Facts is everything a decision is made from. It is stored with the decision
// and holds nothing that names a person.
type Facts struct {
	Amount   psd2.Money `json:"amount"`
	History  History    `json:"history"`
	Device   Device     `json:"device"`
	Risk     Risk       `json:"risk"`
	Approach string     `json:"approach"` // the bank's: redirect, decoupled, embedded, delegated
	Merchant Level      `json:"merchant"` // at least this; "" is none
	Factors  []Method   `json:"factors"`  // the payer has
	Fraud    Fraud      `json:"fraud"`
	// Country is where the payment's last confirmation came from (CountrySame and
	// so on); "" before there is one.
	Country string `json:"country,omitempty"`
	// Own is the risk without what monitoring's STEP_UP rules have found: those ask
	// more of the payer, and never end his payment. Nil: they have found nothing.
	Own *Risk `json:"own,omitempty"`
	// Reported says that the payer told us that this very payment is not his.
	Reported bool `json:"reported,omitempty"`
}

// History is what the payer did before.
type History struct {
	// Count and Sum are of his payments since the last with strong customer
	// authentication (Art. 16(b), (c)).
	Count int   `json:"count"`
	Sum   int64 `json:"sum"`
	// Same is how often he has paid this amount to this payee, from the first
	// time with strong customer authentication on (Art. 14(1)).
	Same    int   `json:"same"`
	Trusted bool  `json:"trusted"` // he put the payee on his list (Art. 13)
	Usual   int64 `json:"usual"`   // his median payment in cents; 0: none yet
}

// Risk is what monitoring says of the payment: a score from 0 to 100 and why
// (RTS Art. 2(2)).
type Risk struct {
	Score   int      `json:"score"`
	Reasons []string `json:"reasons,omitempty"`
	// Quiet says that monitoring found more, which the payer must not notice: it
	// raises no level, but nobody claims that nothing is abnormal (Art. 18(2)(c)).
	Quiet bool `json:"quiet,omitempty"`
}

// Fraud is the value of unauthorised or fraudulent remote credit transfers and
// of all of them, in cents, over the window (Art. 19), and the bands that Art.
// 20 has switched off, by their upper limit.
type Fraud struct {
	Fraudulent int64   `json:"fraudulent"`
	All        int64   `json:"all"`
	Ceased     []int64 `json:"ceased,omitempty"`
}

// Decision is the policy's answer.
type Decision struct {
	Level      Level       `json:"level"`
	Methods    []Method    `json:"methods,omitempty"` // of the payer's, that suffice
	Exemptions []Exemption `json:"exemptions,omitempty"`
	Reasons    []string    `json:"reasons,omitempty"` // the rules that applied
	Again      bool        `json:"again,omitempty"`   // one confirmation does not suffice
	Rules      string      `json:"rules"`             // their version
}

// Decide applies the rules. It is pure: the same facts and rules give the same
// answer at any time, so every stored decision can be replayed.
func Decide(r Rules, f Facts) Decision {
	d := r.decide(f)
	if d.Level != Block || f.Own == nil {
		return d
	}
	own := f
	own.Risk = *f.Own
	if r.decide(own).Level == Block {
		return d
	}
	d.Level, d.Methods, d.Exemptions = None, nil, r.exemptions(f)
	for _, l := range []Level{WithPasskey, Strong, Any} { // the most that he can do
		if d.Methods = l.allowed(f.Factors); len(d.Methods) > 0 {
			d.Level = l
			break
		}
	}
	return d
}

func (r Rules) decide(f Facts) Decision {
	d := Decision{Level: None, Rules: r.Version}
	raise := func(l Level, reason string) {
		d.Reasons = append(d.Reasons, reason)
		if l.rank() > d.Level.rank() {
			d.Level = l
		}
	}
	for _, rule := range r.Levels {
		if !rule.applies(f) {
			continue
		}
		level := rule.Level
		if rule.Again {
			if d.Again = true; len(level.allowed(f.Factors)) == 0 {
				level = Any // with what he has, then
			}
		}
		raise(level, rule.Reason)
	}
	if f.Merchant.rank() > 0 {
		raise(f.Merchant, "merchant")
	}
	if d.Level.rank() > None.rank() && d.Level != Block {
		d.Methods = d.Level.allowed(f.Factors)
		if len(d.Methods) == 0 {
			d.Reasons = append(d.Reasons, "no_factor")
			d.Level = r.withoutFactor(d.Level, f.Approach)
		}
	}
	if d.Level != Block {
		d.Exemptions = r.exemptions(f)
	}
	return d
}

func (r Rules) withoutFactor(l Level, approach string) Level {
	if approach == ApproachDelegated {
		return r.WithoutFactor["delegated"]
	}
	return r.WithoutFactor[string(l)]
}

func (rule LevelRule) applies(f Facts) bool {
	switch {
	case rule.RiskAtLeast > 0 && f.Risk.Score < rule.RiskAtLeast,
		rule.AmountAtLeast > 0 && f.Amount.AmountMinor < rule.AmountAtLeast,
		rule.TimesUsual > 0 && (f.History.Usual == 0 || f.Amount.AmountMinor/f.History.Usual < rule.TimesUsual),
		rule.Device == "unknown" && f.Device.Known,
		rule.Approach != "" && rule.Approach != f.Approach,
		rule.Reported && !f.Reported,
		rule.Country != "" && rule.Country != f.Country,
		len(rule.RiskReasons) > 0 && !slices.ContainsFunc(f.Risk.Reasons, func(s string) bool { return slices.Contains(rule.RiskReasons, s) }):
		return false
	}
	return true
}

// exemptions are those whose conditions are met.
func (r Rules) exemptions(f Facts) []Exemption {
	var list []Exemption
	if f.Amount.Currency != psd2.EUR { // every threshold is in euro
		return nil
	}
	if r.LowValue.met(f) {
		list = append(list, LowValue)
	}
	if f.History.Trusted {
		list = append(list, Trusted)
	}
	if f.History.Same >= r.RecurringAfter {
		list = append(list, Recurring)
	}
	if r.transactionRisk(f) {
		list = append(list, TRA)
	}
	return list
}

// met: at most the single amount, and what went before does not exceed the one
// counter that is used (Q&A 2018_4225).
func (v LowValueRule) met(f Facts) bool {
	if f.Amount.AmountMinor > v.Single {
		return false
	}
	if v.Counter == "cumulative" {
		return f.History.Sum <= v.Cumulative
	}
	return f.History.Count <= v.Count
}

// transactionRisk: within a band whose reference rate our fraud rate does not
// exceed, and nothing about the payment is abnormal.
func (r Rules) transactionRisk(f Facts) bool {
	if f.Risk.Score >= r.TRARiskBelow || len(f.Risk.Reasons) > 0 || f.Risk.Quiet || !f.Device.Known || f.Fraud.All <= 0 {
		return false
	}
	for _, band := range r.TRA {
		if f.Amount.AmountMinor <= band.UpTo && !slices.Contains(f.Fraud.Ceased, band.UpTo) && withinRate(f.Fraud.Fraudulent, f.Fraud.All, band.FraudPPM) {
			return true
		}
	}
	return false
}

// withinRate reports whether part/all ≤ ppm/1,000,000, exactly.
func withinRate(part, all, ppm int64) bool {
	left := new(big.Int).Mul(big.NewInt(part), big.NewInt(1_000_000))
	return left.Cmp(new(big.Int).Mul(big.NewInt(all), big.NewInt(ppm))) <= 0
}
