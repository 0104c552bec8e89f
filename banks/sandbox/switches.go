package sandbox

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Switches are an operator's faults for one bank. Counters count down by
// themselves. They last as long as the process.
type Switches struct {
	Down           bool `json:"down"`            // everything answers 503 with Retry-After
	LoseBefore     int  `json:"lose_before"`     // next initiations: connection cut, nothing stored
	LoseAfter      int  `json:"lose_after"`      // next initiations: stored, then the connection is cut
	LoseStatus     int  `json:"lose_status"`     // next questions about an order: connection cut
	LoseStep       int  `json:"lose_step"`       // next steps of an authorisation: done, then the connection is cut
	LatencyMillis  int  `json:"latency_ms"`      // before every answer of the PIS interface
	RetryAfterSecs int  `json:"retry_after_sec"` // with Down and the busy answers

	// What initiations and questions are answered with instead; "" is the truth.
	InitiationAnswer Answer `json:"initiation_answer"`
	StatusAnswer     Answer `json:"status_answer"`
	// Redirect is where the payer is sent instead; "" is the bank's own page.
	Redirect RedirectFault `json:"redirect"`

	ChangedAmount    bool `json:"changed_amount"`    // new orders are taken for one euro more
	ChangedPayee     bool `json:"changed_payee"`     // new orders are taken for another payee
	StatusBack       bool `json:"status_back"`       // every second answer says RCVD again
	UnknownCodes     bool `json:"unknown_codes"`     // transactionStatus and scaStatus that no standard has
	DuplicateBooking bool `json:"duplicate_booking"` // the payer is debited twice
	BadCertificate   bool `json:"bad_certificate"`   // TLS: a certificate nobody trusts; for all banks of the sandbox
}

// Answer is what a bank may say instead of the truth. All but AnswerBusy and
// AnswerGone come after the request has been carried out.
type Answer string

// Answers.
const (
	AnswerTrue      Answer = ""
	AnswerBusy      Answer = "429"       // with Retry-After, nothing done
	AnswerGone      Answer = "503"       // with Retry-After, nothing done
	AnswerError     Answer = "500"       // a page of a proxy
	AnswerHTML      Answer = "html"      // a maintenance page with status 200 or 201
	AnswerHuge      Answer = "huge"      // 50 MB
	AnswerDrip      Answer = "drip"      // a byte now and then, without end
	AnswerGarbage   Answer = "garbage"   // no JSON
	AnswerMoved     Answer = "moved"     // 307 to another host
	AnswerSignature Answer = "signature" // 401 SIGNATURE_INVALID, nothing done
)

var answers = []Answer{AnswerTrue, AnswerBusy, AnswerGone, AnswerError, AnswerHTML, AnswerHuge, AnswerDrip, AnswerGarbage, AnswerMoved, AnswerSignature}

// RedirectFault is where a bank may send its customer.
type RedirectFault string

// Redirect faults.
const (
	RedirectTrue       RedirectFault = ""
	RedirectOtherHost  RedirectFault = "other_host"
	RedirectJavaScript RedirectFault = "javascript"
	RedirectData       RedirectFault = "data"
	RedirectUserinfo   RedirectFault = "userinfo" // the bank's host as a user name
)

var redirects = []RedirectFault{RedirectTrue, RedirectOtherHost, RedirectJavaScript, RedirectData, RedirectUserinfo}

// limit of what a switch may be set to.
const (
	maxLatencyMillis = 60_000
	maxCounter       = 1_000_000
)

func (s Switches) valid() bool {
	return within(s.LoseBefore, maxCounter) && within(s.LoseAfter, maxCounter) && within(s.LoseStatus, maxCounter) && within(s.LoseStep, maxCounter) &&
		within(s.LatencyMillis, maxLatencyMillis) && within(s.RetryAfterSecs, 86_400) &&
		slices.Contains(answers, s.InitiationAnswer) && slices.Contains(answers, s.StatusAnswer) && slices.Contains(redirects, s.Redirect)
}

// Quiet reports whether the bank behaves.
func (s Switches) Quiet() bool {
	s.RetryAfterSecs = 0
	return s == Switches{}
}

func within(n, limit int) bool { return n >= 0 && n <= limit }

// board holds switches of one kind, which many requests read and use up at once.
type board[S interface{ valid() bool }] struct {
	mu sync.Mutex
	s  S
}

func (b *board[S]) get() S {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s
}

// update changes the switches; fn returns false to leave them as they are.
func (b *board[S]) update(fn func(*S) bool) (S, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.s
	ok := fn(&next) && next.valid()
	if ok {
		b.s = next
	}
	return b.s, ok
}

// take uses one of a counter up.
func (b *board[S]) take(counter func(*S) *int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := counter(&b.s)
	if *n <= 0 {
		return false
	}
	*n--
	return true
}

// switchboard holds a bank's switches.
type switchboard struct {
	board[Switches]
	asked int // questions answered while StatusBack is on
}

func newSwitchboard(b Bank) *switchboard {
	return &switchboard{board: board[Switches]{s: quietSwitches(b)}}
}

// quietSwitches are those that a bank begins with.
func quietSwitches(b Bank) Switches { return Switches{Down: b.Down, RetryAfterSecs: 30} }

func loseBefore(s *Switches) *int { return &s.LoseBefore }
func loseAfter(s *Switches) *int  { return &s.LoseAfter }
func loseStatus(s *Switches) *int { return &s.LoseStatus }
func loseStep(s *Switches) *int   { return &s.LoseStep }

// pause waits for the bank's latency, or until the caller is gone.
func pause(ctx context.Context, ms int) {
	if ms <= 0 {
		return
	}
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// cut loses the answer. It breaks off after the first bytes of a status line:
// clients repeat a GET by themselves when a used connection ends without a
// byte, and then nothing would be lost.
func cut(w http.ResponseWriter) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: reset the stream
	}
	_, _ = buf.WriteString("HTTP/1.1 ")
	_ = buf.Flush()
	_ = conn.Close()
}
