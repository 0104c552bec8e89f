package api_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
)

func TestDeliveryLogTellsEveryAttempt(t *testing.T) {
	w := newWorld(t)
	m, sink := w.hooked("Casino"), newSink(t)
	c, other := m.client(), m.endpoint("http://127.0.0.1:9/", []string{"payment.settled"})
	e := m.endpoint(sink.URL, nil)
	sink.answer(http.StatusInternalServerError)
	for range 3 {
		failEvent(t, w, m.create().ID)
	}
	page := func(cursor string) *apiclient.DeliveryList {
		t.Helper()
		list, err := c.Deliveries(t.Context(), e.ID, cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	all := func(status string, attempts int) func() bool {
		return func() bool {
			list, err := c.Deliveries(t.Context(), e.ID, "", 100)
			if err != nil || len(list.Data) != 3 {
				return false
			}
			for _, d := range list.Data {
				if d.Status != status || len(d.Attempts) != attempts {
					return false
				}
			}
			return true
		}
	}
	w.until("three have failed once", all("pending", 1))
	first := page("")
	second := page(first.NextCursor)
	if len(first.Data) != 2 || len(second.Data) != 1 || second.NextCursor != "" || first.Data[0].EventID < first.Data[1].EventID || first.Data[1].EventID < second.Data[0].EventID {
		t.Errorf("pages %+v and %+v", first, second)
	}
	d := first.Data[0]
	if a := d.Attempts[0]; a.StatusCode != 500 || a.Error == "" || !a.At.Equal(w.now()) || d.NextAt == nil || !d.NextAt.After(w.now()) || d.Type != psd2.EventAttemptFailed || d.Tried != 1 {
		t.Errorf("after a failure %+v", d)
	}
	sink.answer(http.StatusOK)
	w.pass(10 * time.Second)
	w.until("all were delivered", all("delivered", 2))
	if _, err := c.Resend(t.Context(), e.ID, d.ID, "again"); err != nil {
		t.Fatal(err)
	}
	w.until("one was delivered again", func() bool { return len(page("").Data[0].Attempts) == 3 })
	again := page("").Data[0]
	if again.Status != "delivered" || again.NextAt != nil || again.Tried != 3 || again.Attempts[2].StatusCode != 200 || again.Attempts[2].Error != "" {
		t.Errorf("after the resend %+v", again)
	}
	hits := sink.hits()
	if first, last := find(hits, d.EventID), hits[len(hits)-1]; last.header.Get("webhook-id") != d.EventID || !bytes.Equal(first.body, last.body) {
		t.Errorf("the resend is of %s with another body", last.header.Get("webhook-id"))
	}
	if _, err := c.Resend(t.Context(), other.ID, d.ID, "elsewhere"); problemCode(err) != "webhook_delivery_not_found" {
		t.Errorf("a delivery of another endpoint: %v", err)
	}
	for query, code := range map[string]string{"?cursor=x": "cursor_invalid", "?limit=0": "limit_invalid", "?status=failed": "query_unknown"} {
		if got := m.get("/v1/webhook-endpoints/" + e.ID + "/deliveries" + query); got.code() != code {
			t.Errorf("%s: %d %s", query, got.StatusCode, got.body)
		}
	}
}

func find(hits []hit, event string) hit {
	for _, h := range hits {
		if h.header.Get("webhook-id") == event {
			return h
		}
	}
	return hit{}
}

// failEvent makes an event of a payment that merchants are told of.
func failEvent(t *testing.T, w *world, paymentID string) {
	t.Helper()
	_, err := w.db.UpdatePayment(t.Context(), paymentID, func(p *psd2.Payment) error {
		id := psd2.NewID(psd2.PrefixAttempt, w.now(), rand.Reader)
		return errors.Join(p.BeginAttempt(psd2.Attempt{ID: id, BankID: "alpha", EndToEndID: psd2.NewEndToEndID(id)}, psd2.PSU{}, w.now()),
			p.InitiationFailed(id, psd2.ReasonBankUnavailable, "", w.now()))
	})
	if err != nil {
		t.Fatal(err)
	}
}
