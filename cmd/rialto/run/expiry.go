package run

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/banks/courier"
)

// Certified is whatever reaches a counterpart with certificates of ours: an
// adapter, a channel, the client of payee verification.
type Certified interface {
	Certificates() []courier.Certificate
}

// PayeeVerification stands where a bank's id stands for others, since whom
// payees are verified by has none.
const PayeeVerification = "payee-verification"

// expiry is the metric of our certificates' ends. It reads the clock when it is
// scraped.
type expiry struct {
	holders map[string]Certified // by bank, payee account or PayeeVerification
	now     func() time.Time
}

var expirySeconds = prometheus.NewDesc("rialto_certificate_expiry_seconds",
	"Time until our certificate for a counterpart ends; negative once it has.", []string{"bank", "use"}, nil)

// Describe implements prometheus.Collector.
func (e expiry) Describe(ch chan<- *prometheus.Desc) { ch <- expirySeconds }

// Collect implements prometheus.Collector.
func (e expiry) Collect(ch chan<- prometheus.Metric) {
	for id, holder := range e.holders {
		for _, c := range holder.Certificates() {
			ch <- prometheus.MustNewConstMetric(expirySeconds, prometheus.GaugeValue, c.NotAfter.Sub(e.now()).Seconds(), id, c.Use)
		}
	}
}

// watchCertificates puts everything that holds certificates of ours under the
// metric.
func (h *Hub) watchCertificates(context.Context) error {
	e := expiry{holders: map[string]Certified{}, now: time.Now}
	watch := func(id string, holder any) {
		if c, ok := holder.(Certified); ok {
			e.holders[id] = c
		}
	}
	for _, l := range h.banks.List() {
		bank, _, _ := h.banks.Bank(l.ID)
		watch(l.ID, bank)
	}
	for account, channel := range h.channels {
		watch(account, channel)
	}
	watch(PayeeVerification, h.vop)
	return h.registry.Register(e)
}
