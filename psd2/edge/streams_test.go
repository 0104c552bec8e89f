package edge_test

import (
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
)

func TestStreamsAreBoundedForEachAndForAll(t *testing.T) {
	s := edge.Streams{All: 3, Per: 2}
	enter := func(key string) func() {
		t.Helper()
		leave, err := s.Enter(key)
		if err != nil {
			t.Fatal(err)
		}
		return leave
	}
	refused := func(key string) {
		t.Helper()
		if _, err := s.Enter(key); psd2.CodeOf(err) != psd2.CodeRateLimited {
			t.Errorf("another stream for %s: %v", key, err)
		}
	}
	one, two := enter("a"), enter("a")
	refused("a")
	enter("b")
	refused("c") // the room is full
	two()
	one()
	enter("a")
	enter("c")
	refused("d")
}
