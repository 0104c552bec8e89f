package ops

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// sessionCookie names the session. __Host-: no sibling domain can set or read
// it. It has no lifetime of its own; the room decides.
const sessionCookie = "__Host-ro_session"

// How long a session lasts, and how many there may be at once.
const (
	sessionIdle  = 15 * time.Minute
	sessionLife  = 8 * time.Hour
	sessionLimit = 1000
)

type session struct{ began, used time.Time }

func (s session) over(now time.Time) bool {
	return now.Sub(s.used) >= sessionIdle || now.Sub(s.began) >= sessionLife
}

// sessions are those of this process, by the hash of their cookie: whoever
// reads the memory or a dump of it cannot use one.
type sessions struct {
	now    func() time.Time
	random io.Reader
	mu     sync.Mutex
	open   map[[sha256.Size]byte]session
}

func newSessions(now func() time.Time, random io.Reader) *sessions {
	return &sessions{now: now, random: random, open: map[[sha256.Size]byte]session{}}
}

// begin opens a session and gives its secret, 256 random bits.
func (s *sessions) begin() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		return "", fmt.Errorf("session: %w", err)
	}
	secret := base64.RawURLEncoding.EncodeToString(b[:])
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom(now)
	s.open[sha256.Sum256([]byte(secret))] = session{began: now, used: now}
	return secret, nil
}

// makeRoom drops what is over, and the one unused for longest when the house
// is full.
func (s *sessions) makeRoom(now time.Time) {
	var stalest [sha256.Size]byte
	var used time.Time
	for key, one := range s.open {
		if one.over(now) {
			delete(s.open, key)
		} else if used.IsZero() || one.used.Before(used) {
			stalest, used = key, one.used
		}
	}
	if len(s.open) >= sessionLimit {
		delete(s.open, stalest)
	}
}

// valid reports whether the secret opens a session now. touch prolongs it:
// only what a person did may, not what a page does by itself.
func (s *sessions) valid(secret string, touch bool) bool {
	key := sha256.Sum256([]byte(secret))
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.open[key]
	if !ok {
		return false
	}
	if one.over(now) {
		delete(s.open, key)
		return false
	}
	if touch {
		one.used = now
		s.open[key] = one
	}
	return true
}

func (s *sessions) end(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sha256.Sum256([]byte(secret)))
}

// sessionOf gives the session's secret if it is there exactly once. Two
// cookies of one name mean that somebody else set one: neither is believed.
func sessionOf(r *http.Request) string {
	found := r.CookiesNamed(sessionCookie)
	if len(found) != 1 || len(found[0].Value) > 128 {
		return ""
	}
	return found[0].Value
}

// setSession gives the browser a session, or takes it away with "". Lax and
// not Strict, so that a link to a payment in a ticket opens it; no GET changes
// anything.
func setSession(w http.ResponseWriter, secret string) {
	c := &http.Cookie{Name: sessionCookie, Value: secret, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if secret == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
