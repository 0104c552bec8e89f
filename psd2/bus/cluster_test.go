package bus_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestClusterKeepsThreeCopies: on a cluster the stream has three replicas, and
// with one server gone, its disk with it, every event is still published.
func TestClusterKeepsThreeCopies(t *testing.T) {
	var clients, routes, dirs []string
	for range 3 {
		clients, routes, dirs = append(clients, testkit.FreeAddress(t)), append(routes, testkit.FreeAddress(t)), append(dirs, t.TempDir())
	}
	var servers []*bus.Server
	for i := range 3 {
		s, err := bus.StartServer(bus.ServerConfig{
			Dir: dirs[i], Listen: clients[i], Name: "node" + string(rune('a'+i)),
			Cluster: bus.Cluster{Name: "test", Listen: routes[i], Routes: routes},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		servers = append(servers, s)
	}
	db := testkit.SQLite(t, nil)
	b := open(t, bus.Config{URL: "nats://" + strings.Join(clients, ",nats://")}, nil)
	r := b.Relay(db, "one")
	published := func() {
		t.Helper()
		last, err := db.LastPosition(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		until(t, func() bool {
			_, _ = r.Step(t.Context(), time.Now()) // a leader is being chosen
			return cursor(t, db) == last
		})
	}
	create(t, db, "mer_a")
	published()
	if n := b.Replicas(t.Context()); n != 3 {
		t.Fatalf("%d replicas", n)
	}
	servers[1].Close()
	for range 5 {
		create(t, db, "mer_a")
	}
	published()
}
