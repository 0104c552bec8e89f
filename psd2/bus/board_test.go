package bus_test

import (
	"context"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestBoardIsSeenByEveryProcessAndComesBack: what one process puts up another
// reads, and a board whose bucket is gone with NATS' disk is made anew.
func TestBoardIsSeenByEveryProcessAndComesBack(t *testing.T) {
	server, err := bus.StartServer(bus.ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	clock := testkit.NewClock()
	one, two := open(t, bus.Config{URL: server.URL()}, clock.Now), open(t, bus.Config{URL: server.URL()}, clock.Now)
	a, b := one.Board("HEALTH", time.Hour), two.Board("HEALTH", time.Hour)
	t.Cleanup(a.Close)
	t.Cleanup(b.Close)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	put := func(k *bus.Board, key, value string) {
		t.Helper()
		for k.Put(ctx, key, []byte(value)) != nil && ctx.Err() == nil { // it pauses after a failure
			clock.Add(5 * time.Second)
		}
	}
	sees := func(k *bus.Board, key, want string) {
		t.Helper()
		for ctx.Err() == nil {
			if values, known := k.Values(); known && string(values[key]) == want {
				return
			}
			clock.Add(5 * time.Second)
		}
		t.Fatalf("%s is not %q", key, want)
	}
	put(a, "sandbank.one", "1")
	sees(b, "sandbank.one", "1")
	put(b, "sandbank.one", "2")
	sees(a, "sandbank.one", "2")
	if err := one.DropBoard(ctx, "HEALTH"); err != nil {
		t.Fatal(err)
	}
	put(a, "sandbank.one", "3")
	sees(a, "sandbank.one", "3")
}
