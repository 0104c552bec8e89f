package psd2

import "time"

// Match is the answer of a payee's bank to the question whether a name belongs
// to an IBAN (Reg. 260/2012 Art. 5c as amended by Reg. 2024/886; EPC VoP
// rulebook).
type Match string

// Answers of a verification of payee. A bank that cannot be asked in time
// counts as MatchNotPossible.
const (
	MatchExact       Match = "MTCH" // the name is the holder's
	MatchClose       Match = "CMTC" // nearly; the bank says the holder's name
	MatchNone        Match = "NMTC" // the name is somebody else's
	MatchNotPossible Match = "NOAP" // the bank does not say
)

// VoPResult is the evidence of one verification.
type VoPResult struct {
	Match       Match     `json:"match"`
	MatchedName string    `json:"matched_name,omitempty"` // with MatchClose: the holder as his bank writes him
	CheckedAt   time.Time `json:"checked_at"`
}
