package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rialto-hub/rialto/psd2/store"
)

// The embedded server's files may be damaged: by a bad disk, a full one, a
// backup that copied half. The journal holds everything, so none of it is worth
// stopping for:
//
//   - The server checks every block of its streams when it starts (checkBlocks),
//     and cuts off what is damaged.
//   - A directory that it cannot use at all is moved aside, and kept (setAside).
//   - The relay compares what the stream holds with what it has acknowledged, and
//     publishes again what is gone (mend).
//
// None of this touches an external server.

// checkBlocks makes the server read every block when it starts, and compare each
// record with its checksum. It keeps a file beside the blocks that says what is
// in them, and believes that unseen: of a block in which a bit of a sequence
// number is wrong it would then never come to an end.
func checkBlocks(dir string) error {
	return filepath.WalkDir(filepath.Join(dir, jetStreamDir), func(path string, d fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && !d.IsDir() && d.Name() == "index.db" {
			return os.Remove(path)
		}
		return nil
	})
}

// jetStreamDir is where the server keeps its streams, in its directory.
const jetStreamDir = "jetstream"

// readRate is what the server reads and compares at least of its blocks in a
// second, on a slow disk.
const readRate = 16 << 20

// startWithin bounds the start of a server in a directory, by how much it has to
// read: streams must not count as damaged for being large.
func startWithin(dir string) time.Duration {
	var bytes int64
	_ = filepath.WalkDir(filepath.Join(dir, jetStreamDir), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				bytes += info.Size()
			}
		}
		return nil // what cannot be looked at is the server's to complain of
	})
	return startTimeout + time.Duration(bytes/readRate)*time.Second
}

// keptAside is how many times streams that were set aside are kept: a disk that
// damages them again and again must not be filled by it.
const keptAside = 3

// setAside moves the server's streams out of its way and keeps them for whoever
// wants to know what happened. It fails when there are none: then something else
// is wrong.
func (s *Server) setAside(cause error) error {
	if old, err := filepath.Glob(filepath.Join(s.config.Dir, "damaged-*")); err == nil && len(old) >= keptAside { // in the order of their times
		for _, dir := range old[:len(old)-keptAside+1] {
			if err := os.RemoveAll(dir); err != nil {
				s.log.Warn("bus: streams that were set aside long ago cannot be removed", "kept", filepath.Base(dir), "error", err.Error())
			}
		}
	}
	to := filepath.Join(s.config.Dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000000Z"))
	if err := os.Rename(filepath.Join(s.config.Dir, jetStreamDir), to); err != nil {
		return cause
	}
	if s.config.damaged != nil {
		s.config.damaged.Inc()
	}
	s.log.Error("bus: the embedded server cannot use its streams; they are moved aside and made anew from the journal", "kept", filepath.Base(to), "cause", cause.Error())
	return nil
}

// anew starts the server once more, without the streams that it could not use.
func (s *Server) anew(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	if err := s.setAside(cause); err != nil {
		return err
	}
	return s.launch()
}

// keepBytes is about what the word of one event takes in the stream.
const keepBytes = 256

// mend looks, after each start of the embedded server, whether the stream holds
// what was acknowledged. If not, it makes the stream anew and sets the cursor
// back by as much as the stream may hold: the relay then publishes that again,
// in its order, and a crash meanwhile loses nothing.
func (r *Relay) mend(ctx context.Context, now time.Time) error {
	j, ok := r.to.(jetStream)
	if !ok || j.bus.server == nil || !j.bus.suspect.Load() {
		return nil
	}
	var acknowledged int64
	err := r.db.Tx(ctx, func(tx *store.Tx) (err error) { acknowledged, err = tx.Cursor(relayName); return err })
	if err != nil {
		return err
	}
	lost, err := j.lost(ctx, r.db, acknowledged)
	if err != nil || lost == "" {
		j.bus.suspect.Store(err != nil)
		return err
	}
	if held, err := r.lease(ctx, now); err != nil || !held {
		return err
	}
	from := max(0, r.cursor-j.bus.config.KeepBytes/keepBytes)
	j.bus.opt.Log.Error("bus: the stream has lost what it had acknowledged; it is made anew from the journal", "lost", lost, "from", from, "to", r.cursor)
	j.bus.metrics.mended.Inc()
	if err := j.bus.renew(ctx); err != nil {
		return err
	}
	err = r.db.Tx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.CheckFence(relayName, r.fence), tx.SetCursor(relayName, from))
	})
	if err == nil {
		r.cursor, r.stored = from, from
		j.bus.suspect.Store(false)
	}
	return err
}

// renew throws the stream away, whatever is left of it, and makes it empty.
func (b *Bus) renew(ctx context.Context) error {
	if err := b.js.DeleteStream(ctx, eventsStream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete stream: %w", err)
	}
	b.watchMu.Lock()
	for _, f := range b.followers {
		f.Close() // their consumers went with it; the next Attach makes them anew
	}
	b.watchMu.Unlock()
	b.setupMu.Lock()
	b.streams, b.seen, b.again = false, false, time.Time{}
	b.setupMu.Unlock()
	return b.ready(ctx, b.opt.Now())
}

// lost says what of the stream is gone that should be there; "" when it is whole.
func (j jetStream) lost(ctx context.Context, db *store.DB, acknowledged int64) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	stream, err := j.bus.js.Stream(ctx, eventsStream)
	if err != nil {
		return "", fmt.Errorf("bus: look at the stream: %w", err)
	}
	state := stream.CachedInfo().State
	if state.NumDeleted > 0 {
		return "the middle", nil // what grows too old goes at the beginning
	}
	young, err := j.young(ctx, db, acknowledged)
	if err != nil {
		return "", err
	}
	last, err := j.position(ctx, stream, state.LastSeq)
	if err != nil {
		return "", err
	}
	if young && last < acknowledged {
		return "the end", nil
	}
	if state.FirstSeq > 1 && state.Msgs > 0 && state.Bytes < uint64(j.bus.config.KeepBytes)/2 { // not for want of room
		first, err := j.position(ctx, stream, state.FirstSeq)
		if err != nil {
			return "", err
		}
		if young, err := j.young(ctx, db, first-1); young || err != nil {
			return "the beginning", err
		}
	}
	return "", nil
}

// young reports whether the stream should still hold word of the event at a
// position.
func (j jetStream) young(ctx context.Context, db *store.DB, position int64) (bool, error) {
	places, err := db.PlacesFrom(ctx, "", position-1, position, 1)
	if err != nil || len(places) == 0 {
		return false, err
	}
	return places[0].CreatedAt().After(j.bus.opt.Now().Add(-j.bus.config.KeepFor)), nil
}

// position is where the event of a message stands in the journal; 0 when there is
// none, or it cannot be read. A server that does not answer says nothing of what
// its stream holds.
func (j jetStream) position(ctx context.Context, stream jetstream.Stream, sequence uint64) (int64, error) {
	var word struct {
		Position int64 `json:"position"`
	}
	m, err := stream.GetMsg(ctx, sequence)
	switch {
	case ctx.Err() != nil || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrConnectionClosed):
		return 0, fmt.Errorf("bus: look at the stream: %w", err)
	case err != nil || json.Unmarshal(m.Data, &word) != nil:
		return 0, nil
	}
	return word.Position, nil
}
