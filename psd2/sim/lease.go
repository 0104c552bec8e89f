package sim

import (
	"database/sql/driver"
	"strings"
	"time"
)

// lease is who owns a job, as the world saw it committed.
type lease struct {
	holder string
	fence  int64
	until  time.Time // by the holder's clock
}

// granted is the answer to a process that asks for a lease: a row when it has
// got it.
type granted struct {
	driver.Rows
	disk *disk
	args []driver.NamedValue
}

// Next implements driver.Rows.
func (g *granted) Next(dest []driver.Value) error {
	if err := g.Rows.Next(dest); err != nil {
		return err
	}
	name, holder := g.args[0].Value.(string), g.args[1].Value.(string)
	now := lease{holder, dest[0].(int64), time.UnixMicro(g.args[2].Value.(int64))}
	d, w := g.disk, g.disk.of.world
	asked := d.of.now()
	d.promised = append(d.promised, func() {
		before := w.leases[name]
		if before.holder != "" && before.holder != holder && asked.Before(before.until) && w.jumps == 0 {
			w.find(DoubleSubmission, "%s takes the job %s, which %s owns for another %s", holder, name, before.holder, before.until.Sub(asked))
		}
		if before.holder != holder && now.fence <= before.fence {
			w.find(DoubleSubmission, "the job %s went from %s to %s under the same fence", name, before.holder, holder)
		}
		w.leases[name] = now
	})
	return nil
}

// watchFence holds what a process writes as an owner against who owns the job,
// and takes note of jobs that are given up.
func (d *disk) watchFence(query string, args []driver.NamedValue) {
	w := d.of.world
	if !strings.HasPrefix(query, "UPDATE leases") {
		return
	}
	name, fence := args[0].Value.(string), args[1].Value.(int64)
	if now := w.leases[name]; now.fence != fence || now.holder != d.of.name {
		w.find(DoubleSubmission, "%s works at %s under fence %d, but %s owns it under %d", d.of.name, name, fence, now.holder, now.fence)
	}
	if strings.Contains(query, "until = 0") {
		d.promised = append(d.promised, func() {
			given := w.leases[name]
			given.until = time.Time{}
			w.leases[name] = given
		})
	}
}

// task is who runs.
func (w *world) task() string {
	if w.current == nil {
		return ""
	}
	return w.current.name
}
