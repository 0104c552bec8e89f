package hub_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// TestPagesAskASlowBankOnce: while the bank takes its time about an order, the
// payer loads his page and comes back from the bank again and again.
func TestPagesAskASlowBankOnce(t *testing.T) {
	w := one(t)
	p, link := w.atBank(plain)
	w.pays(link)
	g := w.hold("status")
	first := make(chan error, 1)
	go func() {
		_, err := w.hub.Refresh(ctx, p.ID)
		first <- err
	}()
	<-g.entered
	for range 3 {
		if _, err := w.hub.Refresh(ctx, p.ID); err != nil {
			t.Fatal(err)
		}
		w.returned(p)
	}
	if w.load(p).Attempts[0].ReturnedAt == nil {
		t.Error("that he came back is not noted")
	}
	close(g.open)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if n := w.tap.count("status"); n != 1 {
		t.Errorf("the bank was asked %d times", n)
	}
	w.wantState(p, psd2.StateSettled, "")
}

// TestSilentBankDelaysNobodyElse: more orders wait for an answer of one bank
// than Step looks at in a turn. The payment at another bank does not wait.
func TestSilentBankDelaysNobodyElse(t *testing.T) {
	w := one(t)
	for range 80 {
		w.atBank(plain)
	}
	p, link := w.atBank(acsc)
	w.pays(link)
	open := make(chan struct{})
	defer w.hub.Close() // before the world ends
	defer close(open)
	var asked atomic.Int64
	w.tap.onAsk(func(kind string, _ http.ResponseWriter, r *http.Request) bool {
		if kind == "status" && strings.HasPrefix(r.URL.Path, "/"+plain+"/") {
			asked.Add(1)
			<-open
		}
		return false
	})
	now := w.clock.Add(30 * time.Second)
	w.hub.Linger(3 * time.Second)
	for range 2 {
		if _, err := w.hub.Step(ctx, now); err != nil {
			t.Fatal(err)
		}
	}
	w.wantState(p, psd2.StateExecuted, "")
	if n := asked.Load(); n > 8 {
		t.Errorf("%d questions wait at one bank", n)
	}
}
