package webhooks

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics have no label that a merchant chooses: their number must not grow
// with the business.
type metrics struct {
	tries    *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	took     prometheus.Histogram
	latency  prometheus.Histogram
	gaps     prometheus.Counter
}

func newMetrics(r prometheus.Registerer, d *dispatch) *metrics {
	m := &metrics{
		tries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rialto_webhook_tries_total",
			Help: "Requests to webhook endpoints by how they ended: delivered, status, timeout, ..."}, []string{"outcome"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rialto_webhook_deliveries_total",
			Help: "Deliveries by the state a try left them in: delivered, pending (to be retried), failed."}, []string{"state"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rialto_webhook_duration_seconds",
			Help: "Time of one request to a webhook endpoint.", Buckets: prometheus.ExponentialBuckets(0.001, 3, 10)}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rialto_webhook_latency_seconds",
			Help: "Time from an event to the first try to deliver it.", Buckets: prometheus.ExponentialBuckets(0.0005, 3, 14)}),
		gaps: prometheus.NewCounter(prometheus.CounterOpts{Name: "rialto_webhook_gaps_total",
			Help: "Deliveries that should have been there and were not, found and made later. Anything but 0 is a fault."}),
	}
	if r != nil {
		r.MustRegister(m.tries, m.outcomes, m.took, m.latency, m.gaps,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rialto_webhook_queue_age_seconds",
				Help: "How long the delivery that has waited longest for a slot has been due."}, d.age),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rialto_webhook_queued",
				Help: "Deliveries in memory: queued, under way or being recorded."}, d.queued))
	}
	return m
}

func (m *metrics) observe(o *outcome) {
	m.took.Observe(o.took.Seconds())
	word := o.err
	if word == "" {
		word = "delivered"
	}
	m.tries.WithLabelValues(word).Inc()
}

func (d *dispatch) age() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, oldest := d.s.deps.Now(), time.Duration(0)
	for _, q := range d.queues {
		if len(q.ready) > 0 {
			oldest = max(oldest, now.Sub(time.UnixMicro(q.ready[0].row.NextAt)))
		}
	}
	return oldest.Seconds()
}

func (d *dispatch) queued() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, q := range d.queues {
		n += len(q.jobs)
	}
	return float64(n)
}
