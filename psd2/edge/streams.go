package edge

import (
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// streamRetry is when a reader who was one too many may come back.
const streamRetry = 3 * time.Second

// Streams bounds how many streams a room has open at once. Each looks into the
// database again and again, and one reader must not take all of them.
type Streams struct {
	All int // in the whole room
	Per int // for one key: a payment, a device, a session; 0 bounds only the whole

	mu    sync.Mutex
	total int
	open  map[string]int
}

// Enter counts a stream in until leave is called. There being too many is a
// *psd2.Error with CodeRateLimited.
func (s *Streams) Enter(key string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.All || s.Per > 0 && s.open[key] >= s.Per {
		return nil, &psd2.Error{Code: psd2.CodeRateLimited, Reason: "too_many_streams", Message: "too many open pages", RetryAfter: streamRetry}
	}
	if s.open == nil {
		s.open = map[string]int{}
	}
	s.total++
	s.open[key]++
	return func() { s.leave(key) }, nil
}

func (s *Streams) leave(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.open[key]--; s.open[key] <= 0 {
		delete(s.open, key)
	}
}
