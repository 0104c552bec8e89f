package score_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/score"
)

// sampleOf makes ordinary rows and, every twentieth, one whose second column
// is far off. The third column never changes.
func sampleOf(n int, seed uint64) score.Sample {
	random := rand.New(rand.NewPCG(seed, 1))
	s := score.Sample{Columns: []string{"amount", "count", "constant"}}
	for i := range n {
		row := []float64{1000 + 200*random.NormFloat64(), 2 + random.Float64(), 7}
		odd := i%20 == 0
		if odd {
			row[1] = 20 + random.Float64()
		}
		s.Rows, s.Bad = append(s.Rows, row), append(s.Bad, odd)
	}
	return s
}

func trained(t *testing.T, s score.Sample) *score.Model {
	t.Helper()
	m, err := score.Train(s, 7, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAModelFindsWhatItWasNotShown(t *testing.T) {
	m, held := trained(t, sampleOf(600, 1)), sampleOf(400, 2)
	novelty, risk := make([]float64, 400), make([]float64, 400)
	for i, r := range held.Rows {
		s, err := m.Score(r)
		if err != nil {
			t.Fatal(err)
		}
		novelty[i], risk[i] = s.Novelty, *s.Risk
		if s.Novelty < 0 || s.Novelty > 1 || *s.Risk < 0 || *s.Risk > 1 {
			t.Fatalf("scores out of range: %+v", s)
		}
	}
	if a, b := score.AUC(novelty, held.Bad), score.AUC(risk, held.Bad); a < 0.9 || b < 0.95 {
		t.Errorf("AUC of novelty %.3f, of risk %.3f", a, b)
	}
}

func TestAScoreNamesTheColumnThatMovedIt(t *testing.T) {
	s, err := trained(t, sampleOf(600, 1)).Score([]float64{1000, 20, 7})
	if err != nil {
		t.Fatal(err)
	}
	if s.ForNovel[0].Column != "count" || s.ForNovel[0].Moved <= 0 || s.ForRisk[0].Column != "count" || s.ForRisk[0].Moved <= 0 {
		t.Errorf("explained by %+v and %+v", s.ForNovel, s.ForRisk)
	}
	for _, p := range s.ForRisk {
		if p.Column == "constant" {
			t.Error("a column that never changes is named")
		}
	}
}

func TestTheSameSeedGivesTheSameModel(t *testing.T) {
	a, b := trained(t, sampleOf(300, 1)), trained(t, sampleOf(300, 1))
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if !bytes.Equal(x, y) {
		t.Error("two trainings differ")
	}
	again, err := score.Read(bytes.NewReader(x))
	if err != nil || again.Version != a.Version {
		t.Errorf("read back: %v", err)
	}
	if _, err := score.Read(bytes.NewReader(bytes.Replace(x, []byte(`"bias":`), []byte(`"bias":1`), 1))); err == nil {
		t.Error("a changed model was read")
	}
}

func TestWithoutOutcomesOnlyNoveltyIsLearned(t *testing.T) {
	s := sampleOf(300, 1)
	s.Bad = nil
	if m := trained(t, s); m.Logistic != nil {
		t.Error("a regression without outcomes")
	}
	s.Rows[3][0] = math.NaN()
	if _, err := score.Train(s, 1, time.Time{}); err == nil {
		t.Error("a row that is no number was learned from")
	}
}

func TestDriftShowsTheColumnThatMoved(t *testing.T) {
	m, now := trained(t, sampleOf(600, 1)), sampleOf(600, 3)
	for _, d := range m.Drift(now.Rows) {
		if d.PSI > 0.1 {
			t.Errorf("%s drifted by %.2f though nothing changed", d.Column, d.PSI)
		}
	}
	for _, r := range now.Rows {
		r[0] *= 2
	}
	if d := m.Drift(now.Rows)[0]; d.Column != "amount" || d.PSI < 0.25 {
		t.Errorf("most drifted: %+v", d)
	}
}
