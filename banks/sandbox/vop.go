package sandbox

import (
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
)

// Verification of payee for every account of the sandbox, as one routing
// mechanism would answer for all its banks:
//
//	POST /vop/v1/payee-verifications
//
// Answers are signed like those of the host-to-host channel. vop_match.go says
// what counts as a match.
func (s *Sandbox) vopRoutes(e *echo.Echo) { e.POST("/vop/v1/payee-verifications", s.verifyPayee) }

func (s *Sandbox) vopOperatorRoutes(g *echo.Group) {
	g.GET("/vop/switches", func(c echo.Context) error { return c.JSON(http.StatusOK, s.vops.get()) })
	g.POST("/vop/switches", s.postVoPSwitches)
}

// VoPSwitches are an operator's faults for verification of payee. Counters
// count down by themselves. They last as long as the process.
type VoPSwitches struct {
	Down          bool       `json:"down"`            // everything answers 503
	Silent        bool       `json:"silent"`          // nothing is ever answered
	LatencyMillis int        `json:"latency_ms"`      // before every answer
	Answer        psd2.Match `json:"answer"`          // given to every question; "" looks
	Nameless      bool       `json:"nameless"`        // close matches come without the name
	Garbage       int        `json:"garbage"`         // next answers: HTML
	Forge         int        `json:"forge_signature"` // next answers: signed for another request
}

func (v VoPSwitches) valid() bool {
	switch v.Answer {
	case "", psd2.MatchExact, psd2.MatchClose, psd2.MatchNone, psd2.MatchNotPossible:
	default:
		return false
	}
	return within(v.LatencyMillis, maxLatencyMillis) && within(v.Garbage, maxCounter) && within(v.Forge, maxCounter)
}

type vopBoard struct {
	mu sync.Mutex
	v  VoPSwitches
}

func (b *vopBoard) get() VoPSwitches {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.v
}

func (b *vopBoard) take(counter func(*VoPSwitches) *int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := counter(&b.v)
	if *n <= 0 {
		return false
	}
	*n--
	return true
}

func (s *Sandbox) postVoPSwitches(c echo.Context) error {
	body, err := readBody(c.Request())
	if err != nil {
		return badJSON
	}
	s.vops.mu.Lock()
	defer s.vops.mu.Unlock()
	next := s.vops.v
	if decode(body, &next) != nil || !next.valid() {
		return psd2.Invalid("", "switches_invalid", "a switch is unknown or out of range; nothing was changed")
	}
	s.vops.v = next
	return c.JSON(http.StatusOK, next)
}

// verification is the question; what we do not need of it is not read.
type verification struct {
	PartyAccount accountReference `json:"partyAccount"`
	Party        struct {
		Name string `json:"name"`
	} `json:"party"`
}

type verified struct {
	PartyNameMatch psd2.Match `json:"partyNameMatch"`
	MatchedName    string     `json:"matchedName,omitempty"`
}

// verifyPayee compares a name with the holder of an account. A close match
// shows the holder's name, any other answer does not.
func (s *Sandbox) verifyPayee(c echo.Context) error {
	sw, ctx := s.vops.get(), c.Request().Context()
	body, err := readBody(c.Request()) // first: a server notices that its client has left only after it has read the request
	if sw.Silent {
		<-ctx.Done()
		return nil
	}
	pause(ctx, sw.LatencyMillis)
	if sw.Down {
		return c.NoContent(http.StatusServiceUnavailable)
	}
	var q verification
	id, at := c.Request().Header.Get(requestIDHd), c.Request().Header.Get("X-Request-Timestamp")
	_, timeErr := time.Parse(time.RFC3339Nano, at)
	if err != nil || json.Unmarshal(body, &q) != nil || !isUUID(id) || timeErr != nil || q.Party.Name == "" {
		return s.answerVoP(c, http.StatusBadRequest, map[string]string{"type": "about:blank", "code": "FORMAT_ERROR"})
	}
	if _, err := psd2.ParseIBAN(q.PartyAccount.IBAN); err != nil {
		return s.answerVoP(c, http.StatusBadRequest, map[string]string{"type": "about:blank", "code": "FORMAT_ERROR"})
	}
	if s.vops.take(func(v *VoPSwitches) *int { return &v.Garbage }) {
		return c.HTML(http.StatusOK, "<!doctype html><title>Maintenance</title>")
	}
	var a account
	err = s.file.get(ctx, &a, `SELECT `+accountColumns+` FROM accounts WHERE iban = ?`, compact(q.PartyAccount.IBAN))
	if err != nil && !isNoRows(err) {
		return err
	}
	out := verified{PartyNameMatch: sw.Answer}
	switch {
	case out.PartyNameMatch != "":
	case err != nil || a.Capital || a.Holder == "":
		out.PartyNameMatch = psd2.MatchNotPossible
	default:
		out.PartyNameMatch = compareNames(q.Party.Name, a.Holder)
	}
	if out.PartyNameMatch == psd2.MatchClose && !sw.Nameless {
		out.MatchedName = firstOf(a.Holder, "Somebody Else")
	}
	return s.answerVoP(c, http.StatusOK, out)
}

func (s *Sandbox) answerVoP(c echo.Context, status int, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	keys, err := s.signingKeys()
	if err != nil {
		return err
	}
	id := c.Request().Header.Get(requestIDHd)
	signedFor := id
	if s.vops.take(func(v *VoPSwitches) *int { return &v.Forge }) {
		signedFor = "another"
	}
	if err := s.sign(c.Response().Header(), keys, status, signedFor, raw); err != nil {
		return err
	}
	if isUUID(id) {
		c.Response().Header().Set(requestIDHd, id)
	}
	return c.Blob(status, "application/json", raw)
}
