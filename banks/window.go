package banks

import (
	"math/bits"
	"slices"
	"time"
)

// Windows: the last hour in steps of five minutes, by approach, and the last
// week in hours, of the whole bank.
const (
	shortStep, shortLen = 5 * time.Minute, 12
	longStep, longLen   = time.Hour, 7 * 24
	latencyBuckets      = 12 // of doubling width, the first up to 25 ms
	latencyUnit         = 25 * time.Millisecond
)

// slot counts the calls of one step of time.
type slot struct {
	At      int64   `json:"t"` // start, in units of the step since 1970
	OK      int     `json:"k,omitempty"`
	Failed  int     `json:"f,omitempty"`
	Latency []int32 `json:"l,omitempty"` // answered calls by latency bucket
}

func (s *slot) count(failed bool, took time.Duration) {
	if failed {
		s.Failed++
		return
	}
	s.OK++
	if s.Latency == nil {
		s.Latency = make([]int32, latencyBuckets)
	}
	s.Latency[latencyBucket(took)]++
}

func latencyBucket(took time.Duration) int {
	return min(bits.Len64(uint64(max(took-1, 0)/latencyUnit)), latencyBuckets-1)
}

// series is a sliding window: its newest slots, oldest first.
type series []slot

func (s series) count(step time.Duration, size int, failed bool, took time.Duration, now time.Time) series {
	at := now.UnixNano() / int64(step)
	if len(s) == 0 || s[len(s)-1].At < at {
		s = append(s, slot{At: at})
	}
	s[len(s)-1].count(failed, took)
	return s.recent(size, at)
}

// recent drops what is older than size steps.
func (s series) recent(size int, at int64) series {
	return slices.DeleteFunc(s, func(x slot) bool { return x.At <= at-int64(size) })
}

// add joins what other processes counted.
func (s series) add(o series) series {
	out := slices.Clone(s)
	for _, x := range o {
		i, found := slices.BinarySearchFunc(out, x.At, func(y slot, at int64) int { return int(y.At - at) })
		if !found {
			x.Latency = slices.Clone(x.Latency)
			out = slices.Insert(out, i, x)
			continue
		}
		y := &out[i]
		y.OK, y.Failed = y.OK+x.OK, y.Failed+x.Failed
		y.Latency = slices.Clone(y.Latency)
		if y.Latency == nil {
			y.Latency = make([]int32, latencyBuckets)
		}
		for k := range min(len(x.Latency), latencyBuckets) {
			y.Latency[k] += x.Latency[k]
		}
	}
	return out
}

// Measure is what was seen of a bank in some stretch of time.
type Measure struct {
	At       time.Time     // when the stretch began
	Calls    int           // calls that say something about the bank's health
	Answered int           // of them
	P50, P95 time.Duration // of answered calls, to the width of a bucket; 0 when there were none
}

func measure(at time.Time, slots ...slot) Measure {
	m := Measure{At: at}
	var latency [latencyBuckets]int32
	for _, s := range slots {
		m.Calls, m.Answered = m.Calls+s.OK+s.Failed, m.Answered+s.OK
		for i := range min(len(s.Latency), latencyBuckets) {
			latency[i] += s.Latency[i]
		}
	}
	m.P50, m.P95 = quantile(latency, m.Answered, 50), quantile(latency, m.Answered, 95)
	return m
}

// quantile is the upper edge of the bucket in which that share of the calls
// lies.
func quantile(latency [latencyBuckets]int32, n, percent int) time.Duration {
	if n == 0 {
		return 0
	}
	want, seen := (n*percent+99)/100, 0
	for i, c := range latency {
		if seen += int(c); seen >= want {
			return latencyUnit << i
		}
	}
	return latencyUnit << (latencyBuckets - 1)
}

// over cuts a window into its steps, with empty ones where nothing was called.
func (s series) over(step time.Duration, size int, now time.Time) []Measure {
	end := now.UnixNano() / int64(step)
	out := make([]Measure, 0, size)
	for at := end - int64(size) + 1; at <= end; at++ {
		start := time.Unix(0, at*int64(step)).UTC()
		if i := slices.IndexFunc(s, func(x slot) bool { return x.At == at }); i >= 0 {
			out = append(out, measure(start, s[i]))
		} else {
			out = append(out, Measure{At: start})
		}
	}
	return out
}

// sum is the whole window as one.
func (s series) sum(step time.Duration, size int, now time.Time) Measure {
	end := now.UnixNano() / int64(step)
	return measure(time.Unix(0, (end-int64(size)+1)*int64(step)).UTC(), s.recent(size, end)...)
}
