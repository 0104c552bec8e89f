package sandbox_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
)

// serveChild is the bank as a process of its own: it prints its origin and
// serves until it is killed.
func serveChild(path string) int {
	s, err := sandbox.Open(sandbox.Config{File: path}, sandbox.Options{Now: newClock().Now})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	srv := httptest.NewServer(s.Handler())
	fmt.Println(srv.URL)
	select {}
}

func startChild(t *testing.T, path string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SANDBOX_TEST_CHILD="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, strings.TrimSpace(line)
}

// TestKillLosesNoBookedPayment kills the bank's process while many payers
// confirm. After the restart every payment whose payer was sent back stands in
// the ledger once, no order stands there twice, and its status agrees.
func TestKillLosesNoBookedPayment(t *testing.T) {
	const payers = 12
	path := t.TempDir() + "/bank.db"
	for round, killAt := range []int64{1, 4, 9} {
		cmd, origin := startChild(t, path)
		w := &world{t: t, srv: &httptest.Server{URL: origin}, tpp: &http.Client{Transport: checked{t, &http.Transport{}}}}
		w.op = psu.Operator{Client: w.tpp, Origin: origin}
		list, err := w.op.Create(context.Background(), "sandbank", psu.NewCustomers{Count: payers, BalanceMinor: 2500})
		if err != nil {
			t.Fatal(err)
		}
		var (
			placedOrders [payers]placed
			back         [payers]bool
			confirmed    atomic.Int64
			wait         sync.WaitGroup
		)
		for i := range payers {
			placedOrders[i] = w.initiate("sandbank", order{endToEnd: fmt.Sprintf("KILL-%d-%d", round, i)})
		}
		for i := range payers {
			wait.Go(func() {
				browser := newBrowser(t, &http.Transport{})
				out, err := psu.Walk(context.Background(), browser, placedOrders[i].SCARedirect, list[i], psu.Wish{Confirmed: func() {
					if confirmed.Add(1) == killAt {
						_ = cmd.Process.Kill()
					}
				}}, newClock().Now)
				back[i] = err == nil && out.Location == okURI
				browser.CloseIdleConnections()
			})
		}
		wait.Wait()
		_ = cmd.Process.Kill() // if too few came as far as confirming
		_ = cmd.Wait()
		w.tpp.Transport.(checked).next.(*http.Transport).CloseIdleConnections()
		v := open(t, sandbox.Config{File: path})
		for i, p := range placedOrders {
			n := len(v.transfers(fmt.Sprintf("KILL-%d-%d", round, i)))
			status := v.get(p.Status, http.StatusOK).text("transactionStatus")
			switch {
			case n > 1, back[i] && n != 1, n == 1 != (status == "ACCC"), n == 0 && status != "RCVD":
				t.Errorf("round %d payer %d: sent back %v, %d transfers, status %s", round, i, back[i], n, status)
			}
			if left := v.balance(list[i].Accounts[0].IBAN); left != 2500-2500*int64(n) {
				t.Errorf("round %d payer %d: %d transfers, %d cents left", round, i, n, left)
			}
		}
		v.stop()
	}
}
