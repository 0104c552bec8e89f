package webhooks_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/webhooks"
)

// TestConditionsTellWhoWantsAttention: the endpoints of all merchants, with
// what waits and the last success, the failing one first.
func TestConditionsTellWhoWantsAttention(t *testing.T) {
	w := simple(t)
	bad, good, still := newSink(t, status(http.StatusInternalServerError)), newSink(t, nil), newSink(t, nil)
	fine := w.put(webhooks.Endpoint{URL: good.URL})
	broken := w.put(webhooks.Endpoint{URL: bad.URL})
	w.put(webhooks.Endpoint{URL: still.URL, MerchantID: "mer_b", Events: []string{psd2.EventFailed}})
	began := w.clock.Now()
	w.event(w.payment())
	w.quiet()
	w.quiet()
	w.jump(60 * time.Hour)
	w.event(w.payment())
	w.quiet()
	list, err := w.nodes[0].Conditions(t.Context(), 10)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d %v", len(list), err)
	}
	first := list[0]
	if first.ID != broken.ID || first.Waiting != 2 || first.WaitingFrom == nil || first.WaitingFrom.Before(began) || first.DeliveredAt != nil || first.Crowded ||
		first.BudgetUsed(w.clock.Now()) != 50 {
		t.Errorf("the broken one: %+v", first)
	}
	for _, c := range list[1:] {
		if told := c.ID == fine.ID; c.Waiting != 0 || c.WaitingFrom != nil || (c.DeliveredAt != nil) != told || c.FailingSince != nil {
			t.Errorf("%s: %+v", c.ID, c)
		} else if told && c.DeliveredAt.Before(began.Add(60*time.Hour)) {
			t.Errorf("the last success is not the last: %v", c.DeliveredAt)
		}
	}
	if list, err = w.nodes[0].Conditions(t.Context(), 1); err != nil || len(list) != 1 || list[0].ID != broken.ID {
		t.Errorf("of one: %v %v", list, err)
	}
}
