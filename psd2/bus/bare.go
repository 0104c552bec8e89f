package bus

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"
)

// Bare starts a server of its own in dir with the streams as the hub has them,
// and returns a function that publishes one small durable message. The
// benchmarks compare the hub with it.
func Bare(ctx context.Context, dir string) (publish func() error, closeBus func(), err error) {
	b, err := Open(ctx, Config{Dir: dir}, Options{})
	if err != nil {
		return nil, nil, err
	}
	if err := b.ready(ctx, time.Now()); err != nil {
		b.Close()
		return nil, nil, err
	}
	var n atomic.Int64
	return func() error {
		_, err := b.js.Publish(ctx, eventsPrefix+"bare.bare."+strconv.FormatInt(n.Add(1), 10), make([]byte, 160))
		return err
	}, b.Close, nil
}
