package hub

import (
	"context"
	"time"
)

// beat keeps the time of refusals. How long a refusal takes would say who
// refused, and whom officers look at must not be learnt (GwG §47(1)): so
// whatever is refused, by a rule, a list, a limit, a policy or a bank, and
// however many rows it took to note why, it leaves at the same moment after the
// payer pressed. It becomes true at a whole beat, which is what its event and
// its webhooks show, and is answered a quarter later. Only what took longer
// than a beat leaves with the next one.
type beat struct {
	h     *Hub
	began time.Time
}

func (h *Hub) newBeat() beat { return beat{h, h.now()} }

// quarters are how much later than a whole beat a refusal is answered: time
// enough to commit it.
const quarters = 4

// commit waits for the beat at which a refusal becomes true.
func (b beat) commit(ctx context.Context) { b.wait(ctx, 0) }

// answer waits for the moment at which a refusal is answered.
func (b beat) answer(ctx context.Context) { b.wait(ctx, b.h.cfg.RefusalBeat/quarters) }

// step waits for the next quarter: for what takes the payer to another of our
// own pages, which is no refusal, but may be a rule's wish or the policy's.
func (b beat) step(ctx context.Context) {
	b.until(ctx, b.h.cfg.RefusalBeat/quarters, 0)
}

func (b beat) wait(ctx context.Context, after time.Duration) {
	b.until(ctx, b.h.cfg.RefusalBeat, after)
}

// until waits for the next multiple of every, and then for after. A payer who
// closes his browser meanwhile changes nothing.
func (b beat) until(ctx context.Context, every, after time.Duration) {
	if b.h.wait == nil {
		return
	}
	gone := b.h.now().Sub(b.began) - after
	n := max(gone+every-1, every) / every // whole multiples, rounded up
	b.h.wait(context.WithoutCancel(ctx), b.began.Add(n*every+after))
}
