package console

import (
	"bytes"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
)

// modelForm drafts that the fraud score acts, from which score on, or that it
// only watches again.
type modelForm struct {
	Versions      []option // that have watched
	Acts          string   // version that acts now
	Novelty, Risk string   // in percent
	Severities    []option
}

// modelWeight is what a hit of the fraud score adds to the composite score.
const modelWeight = 20

// modelForm is nil while no model has watched.
func (v *visit) modelForm(now *rules.Acting) (*modelForm, error) {
	list, err := v.Book.Models(v.ctx(), v.officer)
	if err != nil || len(list) == 0 && now == nil {
		return nil, err
	}
	f := &modelForm{Novelty: "70"}
	chosen, severity := "", string(rules.Medium)
	if now != nil {
		f.Acts, chosen, severity = now.Version, now.Version, string(now.Severity)
		f.Novelty, f.Risk = v.share(now.Novelty), v.share(now.Risk)
	}
	for _, m := range list {
		if m.Scored > 0 {
			f.Versions = append(f.Versions, option{Value: m.Version, Chosen: m.Version == chosen,
				Text: v.say("model.version", "version", m.Version, "day", v.day(m.Since), "n", m.Scored)})
		}
	}
	for _, name := range []rules.Severity{rules.Low, rules.Medium, rules.High, rules.Critical} {
		f.Severities = append(f.Severities, option{Value: string(name), Text: v.say("severity." + string(name)), Chosen: string(name) == severity})
	}
	return f, nil
}

// share writes a line as the form takes it, in percent; "" for none.
func (v *visit) share(line float64) string {
	if line == 0 {
		return ""
	}
	return v.decimal(line*100, 2)
}

// readShare reads a percentage; empty is no line.
func readShare(field, text string) (float64, error) {
	if text = strings.TrimSpace(text); text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(strings.Replace(text, ",", ".", 1), 64)
	if err != nil || !(n > 0 && n <= 100) {
		return 0, psd2.Invalid(field, "model_line", "enter a percentage above 0 and up to 100, or nothing")
	}
	return math.Round(n*1e4) / 1e6, nil
}

// modelDrafted changes a catalogue's text as the form says.
func modelDrafted(text []byte, form url.Values) ([]byte, error) {
	version := form.Get("model")
	if version == "none" {
		return withModel(text, nil)
	}
	a := &rules.Acting{Version: version, Severity: rules.Severity(form.Get("severity")), Weight: modelWeight}
	var err error
	if a.Novelty, err = readShare("novelty", form.Get("novelty")); err != nil {
		return nil, err
	}
	if a.Risk, err = readShare("risk", form.Get("risk")); err != nil {
		return nil, err
	}
	if a.Novelty == 0 && a.Risk == 0 {
		return nil, psd2.Invalid("novelty", "model_line", "enter from which score on it alerts")
	}
	return withModel(text, a)
}

var modelSection = regexp.MustCompile(`(?m)^model:[^\n]*\n(?:[ \t]+[^\n]*\n|\n)*`)

// withModel puts the model's section at the end of a catalogue's text, or
// nothing in its place, and leaves all else.
func withModel(text []byte, a *rules.Acting) ([]byte, error) {
	text = modelSection.ReplaceAll(append(bytes.TrimRight(text, "\n"), '\n'), nil)
	if a != nil {
		section, err := yaml.Marshal(map[string]*rules.Acting{"model": a})
		if err != nil {
			return nil, err
		}
		text = append(append(bytes.TrimRight(text, "\n"), "\n\n"...), section...)
	}
	c, err := rules.ParseCatalogue(bytes.NewReader(text))
	if err != nil || (c.Model == nil) != (a == nil) || a != nil && *c.Model != *a {
		return nil, psd2.Invalid("catalogue", "catalogue_invalid", "the catalogue cannot be changed by this form: edit its text")
	}
	return text, nil
}

// mayDraft are the roles that may.
func (v *visit) mayDraft() bool {
	return v.officer.Has(compliance.Analyst, compliance.MLRO, compliance.Admin)
}
