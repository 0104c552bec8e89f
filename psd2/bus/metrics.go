package bus

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	published, refused, poison, damaged, mended prometheus.Counter
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
		damaged:   counter("stores_set_aside_total", "Times that the embedded server could not use its streams, which were moved aside."),
		mended:    counter("streams_mended_total", "Times that the stream had lost what it had acknowledged, and was made anew from the journal."),
		poison:    counter("unreadable_total", "Messages on our subjects that are not ours."),
	}
}
