package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Options are what a sandbox takes from its surroundings; zero fields mean the
// system clock, the system's randomness and no log.
type Options struct {
	Now    func() time.Time
	Random io.Reader
	Log    *slog.Logger
}

// Sandbox hosts the pretend banks.
type Sandbox struct {
	cfg     Config
	now     func() time.Time
	log     *slog.Logger
	banks   map[string]*bank
	file    *file
	pages   *pages
	h2hs    h2hState
	vops    vopBoard
	handler http.Handler
	wake    chan struct{}
	client  *http.Client // tells TPPs news

	randomMu sync.Mutex
	random   io.Reader
}

// bank is a Bank with its switches.
type bank struct {
	Bank
	css      []byte
	style    string // its address
	mark     string // the logo: the first letter
	switches *switchboard
	roots    *x509.CertPool // of those who may sign, where requests are signed
}

// Open opens or creates the file, brings the personas in, and is ready to
// serve. Errors are about the configuration or the file.
func Open(cfg Config, opt Options) (*Sandbox, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Sandbox{cfg: cfg, now: opt.Now, random: opt.Random, log: opt.Log, banks: map[string]*bank{}, wake: make(chan struct{}, 1), client: newClient()}
	if s.now == nil {
		s.now = time.Now
	}
	if s.random == nil {
		s.random = rand.Reader
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, b := range cfg.Banks {
		css := styleOf(b, cfg.Banks)
		roots, err := readRoots(b)
		if err != nil {
			return nil, err
		}
		s.banks[b.ID] = &bank{Bank: b, css: css, style: stylePath(b.ID, css), mark: string([]rune(b.Name)[:1]), switches: newSwitchboard(b), roots: roots}
	}
	if s.pages, err = parsePages(); err != nil {
		return nil, err
	}
	if s.file, err = openFile(context.Background(), cfg.File); err != nil {
		return nil, err
	}
	if err := s.file.do(s.seed); err != nil {
		_ = s.file.close()
		return nil, err
	}
	s.handler = s.routes()
	return s, nil
}

// seed brings personas and payees in; what is there stays as it is.
func (s *Sandbox) seed(t *tx) error {
	for _, b := range s.cfg.Banks {
		if err := s.seedPersonas(t, s.banks[b.ID]); err != nil {
			return err
		}
	}
	for _, p := range s.cfg.Payees {
		if err := openAccount(t, account{IBAN: string(p.IBAN), Holder: p.Name}); err != nil {
			return err
		}
	}
	return nil
}

// Handler serves all banks and the operator's interface.
func (s *Sandbox) Handler() http.Handler { return s.handler }

// Close ends the writer after the transaction under way and closes the file.
func (s *Sandbox) Close() error { return s.file.close() }

// Wake says that Step has something new to plan.
func (s *Sandbox) Wake() <-chan struct{} { return s.wake }

func (s *Sandbox) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Step executes the late orders that are due and tells TPPs news of theirs, a
// bounded number of each, and says when the next is; the zero time means none
// waits.
func (s *Sandbox) Step(ctx context.Context, now time.Time) (next time.Time, err error) {
	if next, err = s.executeDue(now); err != nil {
		return next, err
	}
	if next, err = s.stepH2H(now, next); err != nil {
		return next, err
	}
	told, err := s.deliver(ctx, now)
	if next.IsZero() || !told.IsZero() && told.Before(next) {
		next = told
	}
	return next, err
}

func (s *Sandbox) executeDue(now time.Time) (next time.Time, err error) {
	err = s.file.do(func(t *tx) error {
		next = time.Time{}
		var due []order
		if err := t.sel(&due, `SELECT * FROM orders WHERE status = 'ACSP' ORDER BY execute_at LIMIT 101`); err != nil {
			return err
		}
		for i := range due {
			if at := time.UnixMicro(due[i].ExecuteAt).UTC(); at.After(now) || i == 100 {
				next = at
				return nil
			}
			if err := s.execute(t, &due[i], now); err != nil {
				return err
			}
		}
		return nil
	})
	return next, err
}

// execute books a late order, unless the money is gone meanwhile.
func (s *Sandbox) execute(t *tx, o *order, now time.Time) error {
	b := s.banks[o.Bank]
	if b == nil { // a bank that is no longer configured keeps its orders
		_, err := t.exec(`UPDATE orders SET execute_at = ? WHERE id = ?`, now.Add(24*time.Hour).UnixMicro(), o.ID)
		return err
	}
	var a account
	if err := t.get(&a, `SELECT `+accountColumns+` FROM accounts WHERE iban = ?`, o.DebtorIBAN); err != nil {
		return err
	}
	if a.Balance < o.AmountMinor {
		o.Status, o.Reason = rejected, reasonNoFunds
		return t.saveOrder(o)
	}
	o.Status = b.Final
	if err := s.book(t, o, b, now); err != nil {
		return err
	}
	return t.saveOrder(o)
}

// bytes draws n random bytes; an injected source need not be safe for
// concurrent use.
func (s *Sandbox) bytes(n int) []byte {
	b := make([]byte, n)
	s.randomMu.Lock()
	defer s.randomMu.Unlock()
	if _, err := io.ReadFull(s.random, b); err != nil {
		panic("sandbox: no randomness: " + err.Error()) // no token may be guessable
	}
	return b
}

// uuid draws an id for a resource or a call.
func (s *Sandbox) uuid() string { return psd2.NewUUID(s.now(), bytes.NewReader(s.bytes(10))) }

// token draws 128 bits as 32 small hexadecimal digits, which fit into paths,
// cookies and user names.
func (s *Sandbox) token() string { return hex.EncodeToString(s.bytes(16)) }
