package monitor

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	decided   prometheus.Counter
	swept     prometheus.Counter
	hits      *prometheus.CounterVec
	noData    *prometheus.CounterVec
	undecided prometheus.Gauge
	behind    prometheus.Gauge
	gate      *prometheus.CounterVec
	took      prometheus.Histogram
	refused   prometheus.Gauge
	drift     *prometheus.GaugeVec
	deleted   prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		decided: prometheus.NewCounter(prometheus.CounterOpts{Name: "rialto_monitor_decisions_total", Help: "Transactions decided."}),
		swept:   prometheus.NewCounter(prometheus.CounterOpts{Name: "rialto_monitor_swept_total", Help: "Transactions that only the sweeper decided."}),
		hits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rialto_monitor_hits_total",
			Help: "Hits by rule."}, []string{"rule"}),
		noData: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rialto_monitor_no_data_total",
			Help: "Judgements in which a rule lacked what it needs."}, []string{"rule"}),
		undecided: prometheus.NewGauge(prometheus.GaugeOpts{Name: "rialto_monitor_undecided",
			Help: "Transactions undecided for longer than they may be. Must be 0."}),
		behind: prometheus.NewGauge(prometheus.GaugeOpts{Name: "rialto_monitor_behind",
			Help: "Journal positions not yet looked at."}),
		gate: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rialto_monitor_gate_total",
			Help: "Answers of the gate before initiation by action; error when its state could not be read."}, []string{"kind", "action"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rialto_monitor_gate_seconds",
			Help: "Time the gate took.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 12)}),
		refused: prometheus.NewGauge(prometheus.GaugeOpts{Name: "rialto_monitor_rules_refused",
			Help: "1 while the published rule set is refused (its signature, or what it says) and the one before is used on. Must be 0."}),
		drift: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "rialto_score_drift",
			Help: "How far a number has moved from what the model learned (population stability index): above 0.1 look, above 0.25 train anew."}, []string{"column"}),
		deleted: prometheus.NewCounter(prometheus.CounterOpts{Name: "rialto_monitor_deleted_total", Help: "Transactions deleted because their time of keeping was over."}),
	}
	if r != nil {
		r.MustRegister(m.decided, m.swept, m.hits, m.noData, m.undecided, m.behind, m.gate, m.took, m.refused, m.drift, m.deleted)
	}
	return m
}

func (m *metrics) add(t tally) {
	m.decided.Add(float64(t.decided))
	m.swept.Add(float64(t.swept))
	for rule, n := range t.hits {
		m.hits.WithLabelValues(rule).Add(float64(n))
	}
	for rule, n := range t.noData {
		m.noData.WithLabelValues(rule).Add(float64(n))
	}
}
