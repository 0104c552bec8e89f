package edge

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts requests. Its labels are room, method, route pattern and
// status: never a path, so their number is bounded.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	panics   *prometheus.CounterVec
}

// NewMetrics registers the HTTP metrics once for all rooms of the process. It
// panics when they are registered twice, as prometheus does.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rialto_http_requests_total", Help: "Requests answered.",
		}, []string{"room", "method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rialto_http_request_seconds", Help: "Time from the request's headers to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"room", "route"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rialto_http_in_flight", Help: "Requests being answered.",
		}, []string{"room"}),
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rialto_http_panics_total", Help: "Panics turned into a 500.",
		}, []string{"room"}),
	}
	reg.MustRegister(m.requests, m.seconds, m.inFlight, m.panics)
	return m
}

func (m *Metrics) begin(room string) {
	if m != nil {
		m.inFlight.WithLabelValues(room).Inc()
	}
}

func (m *Metrics) panicked(room string) {
	if m != nil {
		m.panics.WithLabelValues(room).Inc()
	}
}

func (m *Metrics) end(room, method, route string, status int, took time.Duration) {
	if m == nil {
		return
	}
	m.inFlight.WithLabelValues(room).Dec()
	m.requests.WithLabelValues(room, method, route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(room, route).Observe(took.Seconds())
}
