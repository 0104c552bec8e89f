package adapter

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/rialto-hub/rialto/banks"
)

// Options of Serve. The zero value is usable.
type Options struct {
	// AtOnce is how many requests are worked on at the same time (default 64);
	// more wait, and what waits too long is answered "unavailable".
	AtOnce int
	Log    *slog.Logger // nil: discards
}

// Serve answers the hub's requests for the bank until stop, which waits for
// those under way. A panic of the bank ends as "uncertain", not as the end of
// the process.
func Serve(conn *nats.Conn, bank banks.Bank, o Options) (stop func() error, err error) {
	if o.AtOnce <= 0 {
		o.AtOnce = 64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	id := bank.Info().ID
	service, err := micro.AddService(conn, micro.Config{Name: "rialto-bank", Version: "1.0.0", QueueGroup: Group,
		Description: "bank adapter " + id, Metadata: map[string]string{"bank": id}})
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	slots := make(chan struct{}, o.AtOnce)
	for _, op := range Ops {
		handler := micro.HandlerFunc(func(r micro.Request) {
			slots <- struct{}{}
			working.Go(func() {
				defer func() { <-slots }()
				answer(ctx, bank, op, r, o.Log)
			})
		})
		if err := service.AddEndpoint(op, handler, micro.WithEndpointSubject(Subject(id, op))); err != nil {
			cancel()
			return nil, fmt.Errorf("adapter: %w", err)
		}
	}
	if err := conn.Flush(); err != nil { // from here on requests arrive
		cancel()
		return nil, fmt.Errorf("adapter: %w", err)
	}
	return func() error {
		err := service.Stop()
		working.Wait()
		cancel()
		return err
	}, nil
}

func answer(ctx context.Context, bank banks.Bank, op string, r micro.Request, log *slog.Logger) {
	reply := Reply{Version: Version, Error: &Error{Kind: banks.Uncertain, Message: "the adapter failed"}}
	func() {
		defer func() {
			if recover() != nil { // what it says may hold anything
				log.Error("the adapter panicked", "op", op)
			}
		}()
		reply = handle(ctx, bank, op, r.Data())
	}()
	raw, err := json.Marshal(reply)
	if err == nil {
		err = r.Respond(raw)
	}
	if err != nil {
		log.Error("the answer was not sent", "op", op, "error", err.Error())
	}
}
