package run

import (
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// mostRefused is how many refused sign-ins a minute get rows of their own in the
// chain of one room; those beyond are counted in the next row, so that nobody
// fills the chain from outside.
const mostRefused = 30

// refused counts a room's refused sign-ins.
type refused struct {
	mu     sync.Mutex
	minute int64
	noted  int
	more   int // beyond, of which no row tells yet
}

// note says whether this one gets a row, and how many have gone without since
// the last.
func (r *refused) note(now time.Time) (row bool, more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := now.Unix() / 60; m != r.minute {
		r.minute, r.noted = m, 0
	}
	if r.noted == mostRefused {
		r.more++
		return false, 0
	}
	r.noted++
	more, r.more = r.more, 0
	return true, more
}

// refusedSignIns notes sign-ins of staff that did not work in the officers'
// chain. Login and address stand there as keyed hashes: enough to tell one
// guesser or one target from another. It writes the same whether anybody has
// that login or not. home says which room it was.
func (h *Hub) refusedSignIns(home string) func(context.Context, sca.Method, string) {
	if h.desk == nil {
		return nil
	}
	room, count := strings.TrimPrefix(home, "/"), &refused{}
	return func(ctx context.Context, method sca.Method, login string) {
		row, more := count.note(h.Store.Now())
		if !row {
			return
		}
		object := "login:"
		if login != "" {
			object += h.Store.Lookup("staff/login", strings.ToLower(norm.NFKC.String(strings.TrimSpace(login))))
		}
		detail := map[string]any{"room": room, "method": string(method), "address": h.Store.Lookup("staff/address", edge.AddrKey(edge.ClientAddr(ctx)))}
		if more > 0 {
			detail["more"] = more
		}
		err := h.Store.Tx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
			return h.desk.RecordIn(tx, compliance.ActorSystem, "rialto", "officer.sign_in_refused", object, detail)
		})
		if err != nil {
			h.log.Error("a refused sign-in is not in the chain", "room", room, "error", err.Error())
		}
	}
}
