package screening

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/compliance"
)

type metrics struct {
	failing  prometheus.Gauge
	pending  prometheus.Gauge
	missed   prometheus.Gauge
	screened *prometheus.CounterVec
	found    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		failing: prometheus.NewGauge(prometheus.GaugeOpts{Name: "rialto_screening_lists_failing", Help: "1 while a list directory cannot be read."}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{Name: "rialto_screening_pending", Help: "Persons who wait for their first screening, or for one of changed data."}),
		missed: prometheus.NewGauge(prometheus.GaugeOpts{Name: "rialto_screening_days_missed",
			Help: "Whole calendar days since the last complete full run. Must be 0 (Regulation (EU) 260/2012 Art. 5d)."}),
		screened: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rialto_screening_persons_total", Help: "Persons screened."}, []string{"cause"}),
		found:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rialto_screening_hits_total", Help: "Hits that the officers were told of, by list."}, []string{"list"}),
	}
	if r != nil {
		r.MustRegister(m.failing, m.pending, m.missed, m.screened, m.found)
	}
	return m
}

func (m *metrics) lists(err error) {
	m.failing.Set(0)
	if err != nil {
		m.failing.Set(1)
	}
}

func (m *metrics) add(cause string, t tally) {
	m.screened.WithLabelValues(cause).Add(float64(t.persons))
	for list, n := range t.raised {
		m.found.WithLabelValues(list).Add(float64(n))
	}
}

// measure tells how many wait, and how many days have been missed.
func (s *Service) measure(ctx context.Context, now time.Time) error {
	var n int64
	if err := s.deps.Store.Get(ctx, &n, `SELECT COUNT(*) FROM screening_persons WHERE pending = 1`); err != nil {
		return err
	}
	s.metrics.pending.Set(float64(n))
	last, err := s.lastFull(ctx)
	if err != nil || last == "" {
		return err
	}
	day, err := time.ParseInLocation(time.DateOnly, last, s.zone)
	if err != nil {
		return err
	}
	missed := 0
	for day = day.AddDate(0, 0, 1); day.Format(time.DateOnly) < s.day(now); day = day.AddDate(0, 0, 1) {
		missed++
	}
	s.metrics.missed.Set(float64(missed))
	return nil
}

// day names the calendar day of a moment.
func (s *Service) day(t time.Time) string { return t.In(s.zone).Format(time.DateOnly) }

// lastFull is the day of the newest full run that left nobody out; "" when
// there was none.
func (s *Service) lastFull(ctx context.Context) (string, error) {
	var day string
	err := s.deps.Store.Get(ctx, &day, `SELECT day FROM screening_runs WHERE kind = ? AND state = 'done' AND failed = 0 ORDER BY day DESC LIMIT 1`, compliance.RunFull)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return day, err
}
