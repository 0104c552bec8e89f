package main

import (
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
// by. Two thirds of the players are learned from, the others measure it. The
// model is written in mode shadow: it watches until a person lets it act.
func trainCommand(e env, args []string) error {
	f := flags(e, "train")
	events := f.String("events", "", "recorded transactions, one JSON object a line")
	labels := f.String("labels", "", "TSV of tx_id, player, label: transactions that were suspicious")
	out := f.String("out", "", "where the model goes (JSON)")
	seed := f.Uint64("seed", 1, "of the training")
	profile := f.String("profile", rules.ProfileStream60D, "profile of the catalogue")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *events == "" || *out == "" {
		return usagef("--events and --out must be given")
	}
	learn, held, err := trainSamples(*events, *labels, *profile)
	if err != nil {
		return err
	}
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
	if *labels != "" {
		fmt.Fprintf(e.stdout, "on %d others: AUC %.3f by novelty, %.3f by risk\n", r.Held, r.NoveltyAUC, r.RiskAUC)
	}
	fmt.Fprintf(e.stdout, "most drifted between the two: %s (PSI %.3f)\n", r.Drifted, r.PSI)
	return nil
}

// trainSamples computes every transaction's numbers in order of time, and
// parts them by player.
func trainSamples(events, labels, profile string) (learn, held score.Sample, err error) {
	engine, err := rules.Shipped().Compile(profile, nil)
	if err != nil {
		return learn, held, err
	}
	in, err := os.Open(events)
	if err != nil {
		return learn, held, err
	}
	defer func() { _ = in.Close() }() // only read
	facts, err := engine.Stream(in)
	if err != nil {
		return learn, held, fmt.Errorf("%s: %w", events, err)
	}
	bad, err := trainLabels(labels)
	if err != nil {
		return learn, held, err
	}
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
	return learn, held, nil
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
	r := trainReport{Version: m.Version, Mode: string(m.Mode), Learned: m.Rows, Held: len(held.Rows)}
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
