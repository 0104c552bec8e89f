package monitor_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// BenchmarkConsume judges deposits of 24 players behind one address and one
// device each for three of them, as their events come in: op is one deposit.
// few wakes the consumer after every deposit, many after every 24.
func BenchmarkConsume(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		for name, every := range map[string]int{"few": 1, "many": 24} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				clock := testkit.NewClock()
				config := store.Config{URL: "sqlite:" + b.TempDir() + "/rialto.db"}
				if kind == "postgres" {
					config = testkit.PostgresConfig(b)
				}
				w := newWorld(b, clock, testkit.Open(b, config, clock.Now))
				m := w.monitor(nil, func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE })
				seed := func(n int) {
					for i := range n {
						p := i % 24
						name := fmt.Sprint("Anna Koch ", p)
						w.deposit(payment{player: fmt.Sprint("p", p), name: name, born: "1980-01-02", holder: name, amount: 1000, ip: "203.0.113.7",
							device: fmt.Sprint("device", p/3), iban: ibans[p%3]})
					}
				}
				b.StopTimer()
				seed(288) // more than is read of one address
				must(b, w.catchUp(m))
				b.ReportAllocs()
				b.ResetTimer()
				for done := 0; done < b.N; done += every {
					b.StopTimer()
					seed(min(every, b.N-done))
					w.sequence()
					b.StartTimer()
					must(b, w.catchUp(m))
				}
				b.ReportMetric(float64(b.Elapsed())/float64(time.Millisecond)/float64(b.N), "ms/deposit")
			})
		}
	}
}
