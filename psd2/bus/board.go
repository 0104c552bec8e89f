package bus

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Board is a small set of values that all processes of a hub see: a JetStream
// key-value bucket. What is on it is a help, never a truth: it may be late,
// lost, or gone with NATS' disk.
type Board struct {
	bus    *Bus
	config jetstream.KeyValueConfig

	mu      sync.Mutex
	bucket  jetstream.KeyValue
	watcher jetstream.KeyWatcher
	again   time.Time
	values  map[string][]byte
	read    bool // all that was there before has been seen
}

const boardPause = 2 * time.Second

// Board opens the board of that name; keep is how long a value nobody renews
// stays.
func (b *Bus) Board(name string, keep time.Duration) *Board {
	return &Board{bus: b, values: map[string][]byte{}, config: jetstream.KeyValueConfig{
		Bucket: name, Description: "shared by the hub's processes; a help, never a truth", TTL: keep,
		MaxValueSize: 256 << 10, Storage: jetstream.FileStorage, History: 1}}
}

// Put replaces the value of a key.
func (k *Board) Put(ctx context.Context, key string, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	bucket, err := k.attach(ctx)
	if err != nil {
		return err
	}
	if _, err := bucket.Put(ctx, key, value); err != nil {
		k.detach()
		return fmt.Errorf("bus: board %s: %w", k.config.Bucket, err)
	}
	return nil
}

// Values gives the newest value of each key; false until it has seen what was
// there before.
func (k *Board) Values() (map[string][]byte, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), boardPause)
	defer cancel()
	if _, err := k.attach(ctx); err != nil {
		return nil, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.values), k.read
}

// attach finds or makes the bucket and begins to read it. After a failure it
// answers at once until a pause is over.
func (k *Board) attach(ctx context.Context) (jetstream.KeyValue, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.bucket != nil {
		return k.bucket, nil
	}
	now := k.bus.opt.Now()
	if now.Before(k.again) || !k.bus.conn.IsConnected() {
		return nil, ErrNotReady
	}
	k.again = now.Add(boardPause)
	config := k.config
	config.Replicas = k.bus.replicas()
	bucket, err := k.bus.js.CreateOrUpdateKeyValue(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("bus: board %s: %w", config.Bucket, err)
	}
	watcher, err := bucket.WatchAll(context.WithoutCancel(ctx))
	if err != nil {
		return nil, fmt.Errorf("bus: board %s: %w", config.Bucket, err)
	}
	k.bucket, k.watcher, k.read = bucket, watcher, false
	go k.follow(watcher)
	return bucket, nil
}

// follow ends when the watcher does: with the connection, or by detach.
func (k *Board) follow(w jetstream.KeyWatcher) {
	for e := range w.Updates() {
		k.mu.Lock()
		switch {
		case k.watcher != w:
		case e == nil:
			k.read = true
		case e.Operation() == jetstream.KeyValuePut:
			k.values[e.Key()] = e.Value()
		default:
			delete(k.values, e.Key())
		}
		k.mu.Unlock()
	}
}

// detach begins anew next time: the bucket may be gone with NATS' disk.
func (k *Board) detach() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.watcher != nil {
		_ = k.watcher.Stop() // it fails only when it has ended
	}
	k.bucket, k.watcher = nil, nil
}

// Close ends the reading.
func (k *Board) Close() { k.detach() }
