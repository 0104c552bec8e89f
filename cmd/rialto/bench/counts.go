package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// snapshot is what had been spent at one moment.
type snapshot struct {
	hub                 map[string]float64 // sums of the hub's metrics by name
	signed, verified    float64            // by this process: client and sink
	client, hubs, banks float64            // processor seconds
}

func measure(ctx context.Context, f *fleet.Fleet) (s snapshot, err error) {
	text, err := f.Metrics(ctx)
	if err != nil {
		return s, err
	}
	s.hub = sums(text)
	signed, verified := jose.Operations()
	s.signed, s.verified = float64(signed), float64(verified)
	if s.hubs, err = cpuOf(f.HubPID()); err != nil {
		return s, err
	}
	if s.banks, err = cpuOf(f.BankPID()); err != nil {
		return s, err
	}
	s.client, err = ownCPU()
	return s, err
}

// ownCPU is this process's user and system time in seconds.
func ownCPU() (float64, error) {
	var own syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	return float64(own.Utime.Nano()+own.Stime.Nano()) / 1e9, err
}

// sums adds up a metric's series, whatever their labels.
func sums(text string) map[string]float64 {
	out := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if i := strings.IndexByte(line, '}'); i >= 0 {
			name, value = line[:strings.IndexByte(line, '{')], strings.TrimSpace(line[i+1:])
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] += v
		}
	}
	return out
}

func (s snapshot) since(b snapshot, n float64) (Counts, CPU) {
	hub := func(name string) float64 { return (s.hub[name] - b.hub[name]) / n }
	webhooks := hub("rialto_webhook_tries_total")
	c := Counts{
		Transactions: hub("rialto_db_transactions_total"), Commits: hub("rialto_db_commits_total"),
		// Payers' exchanges with the bank are the bank's own pages: login, code,
		// consent. They are counted where they end, at the client.
		HTTPExchanges: hub("rialto_http_requests_total") + hub("rialto_bank_call_seconds_count") + webhooks + bankPages,
		Signatures:    hub("rialto_signatures_total") + webhooks + (s.signed-b.signed)/n, // each delivery: JWS counted by jose, ed25519 here
		Verifications: hub("rialto_verifications_total") + (s.verified-b.verified)/n,
		Messages:      hub("rialto_bus_published_total"),
	}
	for _, v := range []*float64{&c.Transactions, &c.Commits, &c.HTTPExchanges, &c.Signatures, &c.Verifications, &c.Messages} {
		*v = round(*v)
	}
	return c, CPU{
		Client: round((s.client - b.client) / n * 1000), Hub: round((s.hubs - b.hubs) / n * 1000), Bank: round((s.banks - b.banks) / n * 1000),
	}
}

// bankPages are the payer's exchanges at the sandbox bank: login page, login,
// confirmation page, confirmation with the code, which redirects back.
const bankPages = 4

// over names what exceeds the budget.
func (c Counts) over(b Counts) string {
	var out []string
	for _, x := range []struct {
		name      string
		cost, may float64
	}{
		{"transactions", c.Transactions, b.Transactions}, {"commits", c.Commits, b.Commits}, {"http_exchanges", c.HTTPExchanges, b.HTTPExchanges},
		{"signatures", c.Signatures, b.Signatures}, {"verifications", c.Verifications, b.Verifications}, {"messages", c.Messages, b.Messages},
	} {
		if x.cost > x.may {
			out = append(out, fmt.Sprintf("%s %.1f > %.1f", x.name, x.cost, x.may))
		}
	}
	return strings.Join(out, ", ")
}

// cpuOf is a process's user and system time in seconds (proc(5), fields 14
// and 15 in clock ticks of 10 ms).
func cpuOf(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	user, err := strconv.ParseFloat(string(fields[11]), 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(string(fields[12]), 64)
	return (user + system) / 100, err
}
