package sca

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // rules.yaml
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"

	"gopkg.in/yaml.v3"
)

//go:embed rules.yaml
var rulesFile []byte

// ApproachDelegated is the approach of a bank that leaves authentication to us.
const ApproachDelegated = "delegated"

// Rules are the data of the policy for one regime.
type Rules struct {
	Regime             string           `yaml:"regime"`
	Version            string           `yaml:"version"`
	From               string           `yaml:"from"` // date since when the regime applies
	LowValue           LowValueRule     `yaml:"low_value"`
	TRA                []TRABand        `yaml:"tra"`
	TRARiskBelow       int              `yaml:"tra_risk_below"`
	FraudWindowDays    int              `yaml:"fraud_window_days"`
	CeaseAfterQuarters int              `yaml:"cease_after_quarters"`
	RecurringAfter     int              `yaml:"recurring_after"`
	Levels             []LevelRule      `yaml:"levels"`
	Signals            []SignalRule     `yaml:"signals"`
	WithoutFactor      map[string]Level `yaml:"without_factor"`
}

// LowValueRule is RTS Art. 16.
type LowValueRule struct {
	Single     int64  `yaml:"single"`
	Cumulative int64  `yaml:"cumulative"`
	Count      int    `yaml:"count"`
	Counter    string `yaml:"counter"` // "count" or "cumulative": one of them, never both
}

// TRABand is a line of the annex to the RTS.
type TRABand struct {
	UpTo     int64 `yaml:"up_to"`
	FraudPPM int64 `yaml:"fraud_ppm"`
}

// LevelRule asks for a level when everything it names is the case.
type LevelRule struct {
	Reason        string   `yaml:"reason"`
	RiskAtLeast   int      `yaml:"risk_at_least"`
	RiskReasons   []string `yaml:"risk_reasons"` // any of them: families of monitoring rules, or signals
	AmountAtLeast int64    `yaml:"amount_at_least"`
	TimesUsual    int64    `yaml:"times_usual"` // of the payer's median
	Device        string   `yaml:"device"`      // "unknown"
	Approach      string   `yaml:"approach"`
	Reported      bool     `yaml:"reported"` // this very payment, by its payer
	Country       string   `yaml:"country"`  // "other": the confirmation came from another country than the browser that asked
	Level         Level    `yaml:"level"`
	// Again, of a rule about a confirmation: another one is needed, at the level,
	// or with what the payer has when he has nothing for it.
	Again bool `yaml:"again"`
}

// SignalRule adds points to the risk of a person's payments, and its name to
// their reasons, for some days after something happened to his factors.
type SignalRule struct {
	What   string `yaml:"what"` // NotMe, FactorCloned, MethodBlocked, …
	Points int    `yaml:"points"`
	Days   int    `yaml:"days"`
}

// LoadRules gives the rules of a regime that come with the program.
func LoadRules(regime string) (Rules, error) { return parseRules(rulesFile, regime) }

// RulesFile is the file that comes with the program, to begin one's own with.
func RulesFile() []byte { return bytes.Clone(rulesFile) }

// readRules gives the rules of a regime: an operator's own file, or the
// program's when he has none.
func readRules(path, regime string) (Rules, error) {
	if path == "" {
		return LoadRules(regime)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return Rules{}, fmt.Errorf("sca rules: %w", err)
	}
	return parseRules(file, regime)
}

// document is the rules as they are kept beside what they have decided, and its
// SHA-256 in hex.
func (r Rules) document() (text []byte, hash string, err error) {
	if text, err = yaml.Marshal([]Rules{r}); err != nil {
		return nil, "", fmt.Errorf("sca rules: %w", err)
	}
	sum := sha256.Sum256(text)
	return text, hex.EncodeToString(sum[:]), nil
}

// onlyRules reads a document of one regime.
func onlyRules(document []byte) (Rules, error) {
	all, err := readAll(document)
	if err == nil && len(all) != 1 {
		err = errors.New("sca rules: one regime was expected")
	}
	if err != nil {
		return Rules{}, err
	}
	return all[0], nil
}

func readAll(file []byte) (all []Rules, err error) {
	d := yaml.NewDecoder(bytes.NewReader(file))
	d.KnownFields(true)
	if err := d.Decode(&all); err != nil {
		return nil, fmt.Errorf("sca rules: %w", err)
	}
	return all, nil
}

func parseRules(file []byte, regime string) (Rules, error) {
	all, err := readAll(file)
	if err != nil {
		return Rules{}, err
	}
	for _, r := range all {
		if r.Regime == regime {
			return r, r.check()
		}
	}
	return Rules{}, fmt.Errorf("sca rules: there is no regime %q", regime)
}

// check finds what would make a rule ask for less than its author meant.
func (r Rules) check() error {
	if r.LowValue.Counter != "count" && r.LowValue.Counter != "cumulative" {
		return errors.New("sca rules: low_value.counter must be count or cumulative")
	}
	for _, rule := range r.Levels {
		bare := rule.RiskAtLeast == 0 && len(rule.RiskReasons) == 0 && rule.AmountAtLeast == 0 && rule.TimesUsual == 0 && rule.Device == "" && rule.Approach == "" && !rule.Reported && rule.Country == ""
		odd := rule.Country != "" && rule.Country != CountryOther || rule.Again != (rule.Country != "")
		if odd || rule.Level.rank() < 1 || rule.Reason == "" || bare || rule.Device != "" && rule.Device != "unknown" {
			return fmt.Errorf("sca rules: level rule %q is incomplete", rule.Reason)
		}
	}
	for _, key := range []string{"any", "strong", "passkey", "delegated"} {
		if l := r.WithoutFactor[key]; !slices.Contains([]Level{None, Block}, l) {
			return fmt.Errorf("sca rules: without_factor.%s must be none or block", key)
		}
	}
	for _, signal := range r.Signals {
		if signal.What == "" || signal.Points <= 0 || signal.Days <= 0 {
			return fmt.Errorf("sca rules: signal %q is incomplete", signal.What)
		}
	}
	if r.FraudWindowDays <= 0 || r.CeaseAfterQuarters <= 0 || r.RecurringAfter <= 0 || r.Version == "" {
		return errors.New("sca rules: windows and version are needed")
	}
	return nil
}
