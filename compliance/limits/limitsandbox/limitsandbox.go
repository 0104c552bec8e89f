// Package limitsandbox is a limit service to try things with: it speaks what
// limits.Client speaks, counts by person and calendar month, and forgets
// everything with its process. It can be told to fail before or after it has
// done what was asked.
package limitsandbox

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/compliance/limits"
)

// Fault is how the service fails.
type Fault int

// Faults. LostAnswer does what is asked and answers 500.
const (
	None Fault = iota
	Down
	LostAnswer
)

// Server is the service; it is an http.Handler.
type Server struct {
	mux *http.ServeMux
	now func() time.Time

	mu     sync.Mutex
	limit  map[string]int64
	orders map[string]*order
	fault  Fault
}

type order struct {
	limits.Order
	month string
	state string // reserved, confirmed, released
}

// New makes a service in which everybody may pay 1,000 euro a month.
func New(now func() time.Time) *Server {
	s := &Server{mux: http.NewServeMux(), now: now, limit: map[string]int64{}, orders: map[string]*order{}}
	s.mux.HandleFunc("POST /v1/reservations", s.reserve)
	s.mux.HandleFunc("POST /v1/reservations/{id}/confirm", s.end("confirmed"))
	s.mux.HandleFunc("POST /v1/reservations/{id}/release", s.end("released"))
	return s
}

// SetLimit gives a person another limit.
func (s *Server) SetLimit(person string, minor int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit[person] = minor
}

// SetFault changes how the service fails.
func (s *Server) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Used is what a person has reserved and confirmed this month.
func (s *Server) Used(person string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used(person)
}

// State is where a reservation stands; "" when there is none.
func (s *Server) State(reservation string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.orders[reservation]; o != nil {
		return o.state
	}
	return ""
}

func (s *Server) used(person string) (sum int64) {
	month := s.month()
	for _, o := range s.orders {
		if o.Person == person && o.month == month && o.state != "released" {
			sum += o.AmountMinor
		}
	}
	return sum
}

func (s *Server) month() string {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		berlin = time.UTC
	}
	return s.now().In(berlin).Format("2006-01")
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.fault {
	case Down:
		http.Error(w, "down", http.StatusServiceUnavailable)
	case LostAnswer:
		s.mux.ServeHTTP(discard{http.Header{}}, r)
		http.Error(w, "lost", http.StatusInternalServerError)
	case None:
		s.mux.ServeHTTP(w, r)
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// reserve runs with the lock held, as every handler does.
func (s *Server) reserve(w http.ResponseWriter, r *http.Request) {
	var o limits.Order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&o); err != nil || o.Reservation == "" || o.Person == "" || o.AmountMinor <= 0 {
		http.Error(w, "no order", http.StatusBadRequest)
		return
	}
	known := s.orders[o.Reservation]
	limit, set := s.limit[o.Person]
	if !set {
		limit = limits.DefaultLimit
	}
	left := limit - s.used(o.Person)
	d := limits.Decision{Granted: known != nil && known.state != "released" || known == nil && o.AmountMinor <= left, LeftMinor: max(0, left), LimitMinor: &limit}
	if d.Granted && known == nil {
		s.orders[o.Reservation] = &order{o, s.month(), "reserved"}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(d) // the caller is gone
}

// end is idempotent; what was never seen is released by saying so, so that an
// order that comes later finds it ended.
func (s *Server) end(state string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		var c limits.Confirmation
		if state == "confirmed" {
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&c); err != nil || c.AmountMinor <= 0 {
				http.Error(w, "no amount", http.StatusBadRequest)
				return
			}
		}
		o := s.orders[id]
		if o == nil {
			o = &order{month: s.month()}
			s.orders[id] = o
		}
		if o.state != "confirmed" {
			o.state = state
		}
		if c.AmountMinor > 0 && c.AmountMinor < o.AmountMinor {
			o.AmountMinor = c.AmountMinor // the rest is free again
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
