package monitor_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// cpuTime is what this process has used of the processors, all threads.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkConsume judges deposits of 24 players behind one address, three to a
// device, eight to an account. The consumer wakes after every deposit (few) or
// after 24 (many). Time spent waiting for the disk is not in cpu-ms/deposit.
func BenchmarkConsume(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		for _, every := range []int{1, 24} {
			name := map[int]string{1: "few", 24: "many"}[every]
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
				var cpu time.Duration
				for done := 0; done < b.N; done += every {
					b.StopTimer()
					seed(min(every, b.N-done))
					w.sequence()
					before := cpuTime(b)
					b.StartTimer()
					must(b, w.catchUp(m))
					cpu += cpuTime(b) - before
				}
				b.ReportMetric(cpu.Seconds()*1000/float64(b.N), "cpu-ms/deposit")
			})
		}
	}
}
