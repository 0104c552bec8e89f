package hub_test

import (
	"testing"

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
