package hub_test

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
)

// availability is what a merchant was told of banks, oldest first.
func (w *world) availability() []string {
	w.t.Helper()
	sequencer := w.db.Sequencer("test")
	for range 3 {
		if _, err := sequencer.Step(ctx, w.clock.Now()); err != nil {
			w.t.Fatal(err)
		}
	}
	events, err := w.db.EventsAfter(ctx, merchantID, 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var told []string
	for _, e := range events {
		if e.Type != psd2.EventBankAvailability {
			continue
		}
		var data struct {
			Bank struct {
				ID        string
				Available bool
				Reason    string
			}
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			w.t.Fatal(err)
		}
		told = append(told, data.Bank.ID+map[bool]string{true: " up", false: " down " + data.Bank.Reason}[data.Bank.Available])
	}
	return told
}

func TestMerchantsAreToldOnceWhenABankComesAndGoes(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.start() // there is a merchant
		registry := banks.NewRegistry(w.entries, w.adapters, w.clock.Now)
		var hubs []*hub.Hub // two processes that know the same of the banks
		for _, name := range []string{"hub-1", "hub-2"} {
			hubs = append(hubs, hub.New(hub.Config{PublicURL: "https://pay.example"}, hub.Deps{
				Store: w.db, Banks: registry, Holder: name, Now: w.clock.Now, Random: rand.Reader}))
		}
		steps := func(list ...*hub.Hub) {
			t.Helper()
			for range 2 {
				for _, h := range list {
					if _, err := h.HealthStep(ctx, w.clock.Now()); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		told := func(want ...string) {
			t.Helper()
			if got := w.availability(); !slices.Equal(got, want) {
				t.Fatalf("told %v, want %v", got, want)
			}
		}
		steps(hubs...)
		told()
		for range banks.TripAfter {
			registry.Observe(plain, banks.Redirect, &banks.Error{Kind: banks.Unavailable}, time.Second)
		}
		steps(hubs...)
		told("plain down not_answering")
		w.clock.Add(40 * time.Second) // its pause is over, but it has not answered
		steps(hubs[1])                // and the process that told has died
		told("plain down not_answering")
		registry.Observe(plain, banks.Redirect, nil, time.Second)
		steps(hubs[1])
		told("plain down not_answering", "plain up")
		w.clock.Add(time.Minute)
		for range banks.TripAfter {
			registry.Observe(plain, banks.Redirect, &banks.Error{Kind: banks.Unavailable}, time.Second)
		}
		steps(hubs[0]) // the first one is back, and must not believe what it remembers
		told("plain down not_answering", "plain up", "plain down not_answering")
	})
}
