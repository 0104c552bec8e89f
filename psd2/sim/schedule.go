package sim

import (
	"container/heap"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
)

// event is something that happens at a time. Of two at the same time the one
// that was put down first happens first.
type event struct {
	at    time.Time
	order int
	do    func()
	idle  bool // a step that a worker takes whether or not there is work
}

type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, k int) bool {
	if a[i].at.Equal(a[k].at) {
		return a[i].order < a[k].order
	}
	return a[i].at.Before(a[k].at)
}
func (a agenda) Swap(i, k int) { a[i], a[k] = a[k], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	old := *a
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*a = old[:len(old)-1]
	return last
}

// task is a goroutine of the code under test. It runs only while the scheduler
// waits for it.
type task struct {
	of     *process
	name   string
	resume chan bool // true: go on; false: your process has died
	begun  bool
	over   bool
}

// schedule runs tasks one at a time in virtual time.
type schedule struct {
	now     time.Time
	agenda  agenda
	orders  int
	current *task // nil: the scheduler itself
	yielded chan struct{}
	steps   int

	// between is called whenever a task has handed over.
	between func()
	// broken takes what must never happen: a panic of the code under test, or one
	// that waits for something the scheduler knows nothing of.
	broken func(what string)
}

func newSchedule(start time.Time) schedule {
	return schedule{now: start, yielded: make(chan struct{})}
}

// at puts something down for a time, or for now if that is past.
func (s *schedule) at(at time.Time, do func()) {
	if at.Before(s.now) {
		at = s.now
	}
	s.orders++
	heap.Push(&s.agenda, event{at: at, order: s.orders, do: do})
}

// idly puts a worker's step down.
func (s *schedule) idly(at time.Time, do func()) {
	s.orders++
	heap.Push(&s.agenda, event{at: at, order: s.orders, do: do, idle: true})
}

func (s *schedule) after(d time.Duration, do func()) { s.at(s.now.Add(d), do) }

// next lets the next thing happen; false when there is none.
func (s *schedule) next() bool {
	if len(s.agenda) == 0 {
		return false
	}
	e := heap.Pop(&s.agenda).(event)
	if e.at.After(s.now) {
		s.now = e.at
	}
	s.steps++
	e.do()
	return true
}

// spawn begins a task of a process, after the running one has handed over.
// ended hears whether do came to its end; it did not if the process died.
func (s *schedule) spawn(p *process, name string, do func(), ended func(whole bool)) {
	t := &task{of: p, name: name, resume: make(chan bool)}
	p.tasks = append(slices.DeleteFunc(p.tasks, func(t *task) bool { return t.over }), t)
	s.at(s.now, func() { s.run(t, do, ended) })
}

func (s *schedule) run(t *task, do func(), ended func(whole bool)) {
	if t.over || s.asleep(t, func() { s.run(t, do, ended) }) {
		return
	}
	if t.of.dead {
		s.finish(t, ended, false)
		return
	}
	t.begun = true
	go func() {
		whole := false
		defer func() {
			if r := recover(); r != nil {
				s.broken(fmt.Sprintf("%s panicked: %v\n%s", t.name, r, debug.Stack()))
			}
			s.finish(t, ended, whole)
			s.yielded <- struct{}{}
		}()
		if !<-t.resume {
			runtime.Goexit()
		}
		do()
		whole = true
	}()
	s.turn(t, true)
}

func (s *schedule) finish(t *task, ended func(bool), whole bool) {
	t.over = true
	if ended != nil {
		ended(whole)
	}
}

// turn lets a task run until it hands over.
func (s *schedule) turn(t *task, alive bool) {
	s.current = t
	t.resume <- alive
	select {
	case <-s.yielded:
	case <-time.After(2 * time.Minute): // real time: it waits for something that is not ours
		stacks := make([]byte, 1<<20)
		s.broken(t.name + " hangs\n" + string(stacks[:runtime.Stack(stacks, true)]))
		panic("sim: " + t.name + " hangs")
	}
	s.current = nil
	if s.between != nil {
		s.between()
	}
}

// asleep puts a turn off whose process is suspended.
func (s *schedule) asleep(t *task, again func()) bool {
	if t.of.dead || !s.now.Before(t.of.sleeps) {
		return false
	}
	s.at(t.of.sleeps, again)
	return true
}

// await hands over and comes back after d. It does not come back when the
// process has died meanwhile: the goroutine ends, running its deferred calls.
func (s *schedule) await(d time.Duration) {
	t := s.current
	if t == nil {
		return
	}
	if t.of.dead {
		runtime.Goexit()
	}
	s.after(d, func() { s.wake(t) })
	s.yielded <- struct{}{}
	if !<-t.resume {
		runtime.Goexit()
	}
}

func (s *schedule) wake(t *task) {
	if t.over || s.asleep(t, func() { s.wake(t) }) {
		return
	}
	s.turn(t, !t.of.dead)
}

// bury ends every task of a dead process.
func (s *schedule) bury(p *process) {
	for len(p.tasks) > 0 {
		t := p.tasks[0]
		p.tasks = p.tasks[1:]
		if t.over || !t.begun {
			continue // not begun: run will find out
		}
		s.turn(t, false)
	}
}
