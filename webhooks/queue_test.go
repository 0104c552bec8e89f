package webhooks

import "testing"

func queued(event, object string, sequence int64) *job {
	return &job{row: deliveryRow{EventID: event, ObjectID: object, Sequence: sequence, State: string(DeliveryPending)}}
}

// The database was read before a failure was recorded in it: what the read
// shows of that payment is no longer true.
func TestLoadThatBeganBeforeAFailureDoesNotOvertakeIt(t *testing.T) {
	q := newQueue(&endpoint{Endpoint: Endpoint{State: EndpointActive}}, 2)
	first := queued("evt_1", "pay_a", 1)
	q.add(first)
	q.take(first.happened)
	q.loading, q.recorded = true, map[string]struct{}{}
	q.sent(first, false, 2)
	q.settled(first)
	q.loaded([]*job{queued("evt_1", "pay_a", 1), queued("evt_2", "pay_a", 2), queued("evt_3", "pay_b", 1)})
	if len(q.ready) != 1 || q.ready[0].row.EventID != "evt_3" || !q.behind {
		t.Fatalf("%d ready; behind %v", len(q.ready), q.behind)
	}
}

func TestLaterEventThatIsQueuedFirstStillWaits(t *testing.T) {
	q := newQueue(&endpoint{Endpoint: Endpoint{State: EndpointActive}}, 4)
	for i, event := range []string{"evt_1", "evt_4", "evt_2", "evt_3"} {
		q.add(queued(event, "pay_a", []int64{1, 4, 2, 3}[i]))
	}
	var order string
	for {
		j := q.take(q.throttle)
		if j == nil {
			break
		}
		if q.busy != 1 {
			t.Fatal("two of one payment at once")
		}
		order += j.row.EventID + " "
		q.sent(j, true, 4)
	}
	if order != "evt_1 evt_2 evt_3 evt_4 " || len(q.lanes) != 0 {
		t.Fatalf("order %s, %d lanes left", order, len(q.lanes))
	}
}

// As long as nothing is on its way, a later event that stands first gives its
// place to an earlier one that is found after it.
func TestEarlierEventThatIsFoundLaterGoesFirst(t *testing.T) {
	q := newQueue(&endpoint{Endpoint: Endpoint{State: EndpointActive}}, 4)
	for _, j := range []*job{queued("evt_5", "pay_a", 5), queued("evt_9", "pay_b", 9), queued("evt_3", "pay_a", 3), queued("evt_1", "pay_a", 1)} {
		q.add(j)
	}
	var order string
	for j := q.take(q.throttle); j != nil; j = q.take(q.throttle) {
		order += j.row.EventID + " "
		q.sent(j, true, 4)
	}
	if order != "evt_1 evt_9 evt_3 evt_5 " || len(q.lanes) != 0 {
		t.Fatalf("order %s, %d lanes left", order, len(q.lanes))
	}
}

func TestFailuresHalveTheSlotsAndSuccessesBringThemBack(t *testing.T) {
	q := newQueue(&endpoint{Endpoint: Endpoint{State: EndpointActive}}, 16)
	for _, want := range []int{8, 4, 2, 1, 1} {
		if q.sent(queued("evt_1", "pay_a", 1), false, 16); q.slots != want {
			t.Fatalf("%d slots, want %d", q.slots, want)
		}
	}
	for range 20 {
		q.sent(queued("evt_1", "pay_a", 1), true, 16)
	}
	if q.slots != 16 {
		t.Fatalf("%d slots after successes", q.slots)
	}
}
