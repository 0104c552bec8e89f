package sandbox

import "regexp"

// H2HSwitches are an operator's faults for one corporate customer's channel.
// Counters count down by themselves. They last as long as the process.
type H2HSwitches struct {
	Silent       bool   `json:"silent"`          // nothing is ever answered
	LoseBefore   int    `json:"lose_before"`     // next payments: connection cut, nothing stored
	LoseAfter    int    `json:"lose_after"`      // next payments: stored and executed, then the connection is cut
	LoseInquiry  int    `json:"lose_inquiry"`    // next inquiries: connection cut
	Late         int    `json:"late"`            // next payments: ACSP, executed after the bank's late_by
	Reject       int    `json:"reject"`          // next payments: RJCT with reject_reason
	RejectReason string `json:"reject_reason"`   // "" is MS03
	Return       int    `json:"return"`          // next payments: executed, and back after the bank's late_by
	ReturnReason string `json:"return_reason"`   // "" is AC04
	Recall       string `json:"recall"`          // what becomes of recalls: accept (""), refuse, pending
	RefuseReason string `json:"refuse_reason"`   // "" is CUST
	WrongAmount  int    `json:"wrong_amount"`    // next credits to the account: booked with a cent less (a single cent with one more)
	Duplicate    int    `json:"duplicate_entry"` // next credits to the account: booked twice
	ForgeNext    int    `json:"forge_signature"` // next answers: signed with another key
	UnsignedNext int    `json:"unsigned"`        // next answers: not signed
	DedupHours   int    `json:"dedup_hours"`     // how long references are known again: 24 unless set, 240 at others
	OddMessage   int    `json:"odd_message"`     // next pain.002 and camt answers: with an element the schema has not
}

var reasonForm = regexp.MustCompile(`^([A-Z0-9]{4})?$`)

func (s H2HSwitches) valid() bool {
	for _, n := range []int{s.LoseBefore, s.LoseAfter, s.LoseInquiry, s.Late, s.Reject, s.Return, s.WrongAmount, s.Duplicate,
		s.ForgeNext, s.UnsignedNext, s.OddMessage} {
		if !within(n, maxCounter) {
			return false
		}
	}
	switch s.Recall {
	case "", "accept", "refuse", "pending":
	default:
		return false
	}
	return within(s.DedupHours, 10_000) && reasonForm.MatchString(s.RejectReason) && reasonForm.MatchString(s.ReturnReason) &&
		reasonForm.MatchString(s.RefuseReason)
}

// h2hBoard holds a channel's switches.
type h2hBoard = board[H2HSwitches]

func forgeNext(s *H2HSwitches) *int    { return &s.ForgeNext }
func unsignedNext(s *H2HSwitches) *int { return &s.UnsignedNext }
func oddMessage(s *H2HSwitches) *int   { return &s.OddMessage }

// h2hBoardOf is the switchboard of a channel, made when first asked for.
func (s *Sandbox) h2hBoardOf(bank, client string) *h2hBoard {
	s.h2hs.mu.Lock()
	defer s.h2hs.mu.Unlock()
	key := bank + "/" + client
	if s.h2hs.boards[key] == nil {
		if s.h2hs.boards == nil {
			s.h2hs.boards = map[string]*h2hBoard{}
		}
		s.h2hs.boards[key] = &h2hBoard{s: H2HSwitches{DedupHours: 24}}
	}
	return s.h2hs.boards[key]
}
