package bus

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rialto-hub/rialto/psd2/store"
)

// StopServer kills the embedded server as a fault would.
func (b *Bus) StopServer() { b.server.Close() }

// Watches counts subscriptions of pages.
func (b *Bus) Watches() int {
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	return len(b.watches)
}

// Subjects lists what the stream holds.
func (b *Bus) Subjects(ctx context.Context) map[string]uint64 {
	stream, err := b.js.Stream(ctx, eventsStream)
	if err != nil {
		panic(err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		panic(err)
	}
	return info.State.Subjects
}

// DeleteStream does what only an accident does.
func (b *Bus) DeleteStream(t *testing.T) {
	t.Helper()
	if err := b.js.DeleteStream(t.Context(), eventsStream); err != nil {
		t.Fatal(err)
	}
}

// MakeAsyncStream makes the stream as a careless operator might.
func MakeAsyncStream(t *testing.T, url string) {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: eventsStream, Subjects: []string{eventsPrefix + ">"}, PersistMode: jetstream.AsyncPersistMode,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// DropBoard loses a board as a lost disk would.
func (b *Bus) DropBoard(ctx context.Context, name string) error {
	return b.js.DeleteKeyValue(ctx, name)
}

// Replicas is how many copies of the stream are kept.
func (b *Bus) Replicas(ctx context.Context) int {
	stream, err := b.js.Stream(ctx, eventsStream)
	if err != nil {
		return 0
	}
	return stream.CachedInfo().Config.Replicas
}

// Positions are those of the events that the stream holds, in its order.
func (b *Bus) Positions(ctx context.Context) (list []int64) {
	stream, err := b.js.Stream(ctx, eventsStream)
	if err != nil {
		panic(err)
	}
	state := stream.CachedInfo().State
	for sequence := state.FirstSeq; sequence <= state.LastSeq && state.Msgs > 0; sequence++ {
		position, err := jetStream{b}.position(ctx, stream, sequence)
		if err != nil {
			panic(err)
		}
		list = append(list, position)
	}
	return list
}

// StartWithin is how long a server may take to start in a directory.
func StartWithin(dir string) time.Duration { return startWithin(dir) }

// SetAside moves a server's streams aside once.
func (s *Server) SetAside() error { return s.setAside(errNoJetStream) }

// Lost is what a look at the stream says, within the caller's time.
func (b *Bus) Lost(ctx context.Context, db *store.DB, acknowledged int64) (string, error) {
	return jetStream{b}.lost(ctx, db, acknowledged)
}
