package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
)

// trainReport is what a training says of its model, measured on players it did
// not learn from.
type trainReport struct {
	Version    string  `json:"version"`
	Mode       string  `json:"mode"`
	Learned    int     `json:"learned"`
	Held       int     `json:"held_out"`
	NoveltyAUC float64 `json:"novelty_auc,omitempty"`
	RiskAUC    float64 `json:"risk_auc,omitempty"`
	Drifted    string  `json:"most_drifted,omitempty"`
	PSI        float64 `json:"psi"`
}

// trainCommand trains the fraud score over the features that the rules judge
// by, from recorded transactions or from what a hub has kept and its officers
// have decided. Two thirds of the players are learned from, the others measure it. The
// model watches until two persons publish a rule set that lets it act.
func trainCommand(e env, args []string) error {
	f := flags(e, "train")
	events := f.String("events", "", "recorded transactions, one JSON object a line")
	labels := f.String("labels", "", "TSV of tx_id, player, label: transactions that were suspicious")
	config := f.String("config", "", "YAML file of a hub: learn from the transactions it has kept and from its officers' outcomes")
	days := f.Int("days", 365, "how far back, with --config")
	out := f.String("out", "", "where the model goes (JSON)")
	seed := f.Uint64("seed", 1, "of the training")
	profile := f.String("profile", "", "profile of the catalogue (default: "+rules.ProfileStream60D+", with --config that of the hub)")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	switch {
	case *out == "" || (*events == "") == (*config == ""):
		return usagef("--out must be given, and either --events or --config")
	case *config != "" && *labels != "":
		return usagef("--labels go with --events; with --config the officers' outcomes are taken")
	case *days < 1:
		return usagef("--days must be positive")
	}
	var engine *rules.Engine
	var facts []*rules.Fact
	var bad map[string]bool // nil: nobody has said anything
	var err error
	if *config != "" {
		engine, facts, bad, err = trainHistory(e, *config, *profile, *days)
	} else {
		engine, facts, bad, err = trainRecorded(e, *events, *labels, cmp.Or(*profile, rules.ProfileStream60D))
	}
	if err != nil {
		return err
	}
	learn, held := trainSamples(engine, facts, bad)
	m, err := score.Train(learn, *seed, time.Now())
	if err != nil {
		return err
	}
	if err := writeFile(*out, func(w io.Writer) error { return json.NewEncoder(w).Encode(m) }); err != nil {
		return err
	}
	r, err := trainMeasure(m, held)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	fmt.Fprintf(e.stdout, "model %s, mode %s, learned from %d transactions\n", r.Version, r.Mode, r.Learned)
	if bad != nil {
		fmt.Fprintf(e.stdout, "on %d others: AUC %.3f by novelty, %.3f by risk\n", r.Held, r.NoveltyAUC, r.RiskAUC)
	}
	fmt.Fprintf(e.stdout, "most drifted between the two: %s (PSI %.3f)\n", r.Drifted, r.PSI)
	return nil
}

// trainRecorded reads recorded transactions, with the rules that ship.
func trainRecorded(e env, events, labels, profile string) (engine *rules.Engine, facts []*rules.Fact, bad map[string]bool, err error) {
	if engine, err = rules.Shipped().Compile(profile, nil); err != nil {
		return nil, nil, nil, err
	}
	if facts, err = recordedFacts(e, engine, events); err != nil {
		return nil, nil, nil, err
	}
	bad, err = trainLabels(labels)
	return engine, facts, bad, err
}

// trainSamples computes every transaction's numbers in order of time, and
// parts them by player.
func trainSamples(engine *rules.Engine, facts []*rules.Fact, bad map[string]bool) (learn, held score.Sample) {
	learn.Columns, held.Columns = engine.Columns(), engine.Columns()
	memory := rules.NewMemory()
	for _, f := range facts {
		memory.Add(f)
		to := &learn
		h := fnv.New32a()
		_, _ = h.Write([]byte(f.Player)) // a hash never fails
		if h.Sum32()%3 == 0 {
			to = &held
		}
		to.Rows = append(to.Rows, engine.Values(f, memory.History(f)))
		if bad != nil {
			to.Bad = append(to.Bad, bad[f.ID])
		}
	}
	return learn, held
}

func trainLabels(file string) (map[string]bool, error) {
	if file == "" {
		return nil, nil
	}
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // only read
	list, err := rules.ReadLabels(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	bad := map[string]bool{}
	for _, l := range list {
		bad[l.Tx] = true
	}
	return bad, nil
}

func trainMeasure(m *score.Model, held score.Sample) (trainReport, error) {
	r := trainReport{Version: m.Version, Mode: string(score.Shadow), Learned: m.Rows, Held: len(held.Rows)}
	var novelty, risk []float64
	for _, row := range held.Rows {
		s, err := m.Score(row)
		if err != nil {
			return r, err
		}
		novelty = append(novelty, s.Novelty)
		if s.Risk != nil {
			risk = append(risk, *s.Risk)
		}
	}
	if held.Bad != nil {
		r.NoveltyAUC = score.AUC(novelty, held.Bad)
		if len(risk) > 0 {
			r.RiskAUC = score.AUC(risk, held.Bad)
		}
	}
	if drift := m.Drift(held.Rows); len(drift) > 0 {
		r.Drifted, r.PSI = drift[0].Column, drift[0].PSI
	}
	return r, nil
}
