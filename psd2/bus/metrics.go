package bus

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	published, refused, poison prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "rialto_bus_" + name, Help: help})
		if r != nil {
			r.MustRegister(c)
		}
		return c
	}
	return &metrics{
		published: counter("published_total", "Events whose publication JetStream acknowledged."),
		refused:   counter("refused_total", "Events not published because their ids cannot be subject tokens."),
		poison:    counter("unreadable_total", "Messages on our subjects that are not ours."),
	}
}
