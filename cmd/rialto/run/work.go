package run

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Step does a bounded piece of work and says when it wants to run next; the
// zero time means not before it is woken.
type Step func(ctx context.Context, now time.Time) (next time.Time, err error)

// worker runs a Step in a loop; a signal on wake runs it sooner.
type worker struct {
	name string
	step Step
	wake <-chan struct{}
}

// pause is the least time between two failures of a Step.
const pause = 200 * time.Millisecond

// idle is when a Step that only waits to be woken runs all the same.
const idle = time.Minute

// work runs workers until ctx ends, and returns when all have stopped.
func work(ctx context.Context, now func() time.Time, log *slog.Logger, workers []worker) (wait func()) {
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { w.run(ctx, now, log) })
	}
	return wg.Wait
}

func (w worker) run(ctx context.Context, now func() time.Time, log *slog.Logger) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.wake:
		}
		at := now()
		next, err := w.step(ctx, at)
		wait := next.Sub(now())
		if next.IsZero() {
			wait = idle
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			log.Error("background work failed", "work", w.name, "error", err.Error())
			wait = max(wait, pause)
		}
		timer.Reset(max(wait, 0))
	}
}

// Loop drives one Step for a part that is not the hub's, until ctx ends or
// stop is called; stop waits for it.
func Loop(ctx context.Context, log *slog.Logger, name string, step Step, wake <-chan struct{}) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	wait := work(ctx, time.Now, log, []worker{{name, step, wake}})
	return func() { cancel(); wait() }
}
