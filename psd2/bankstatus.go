package psd2

// Standing is what a bank's transactionStatus means for an order.
type Standing int

// Standings, in the order in which an order may pass through them.
const (
	StandingKeep       Standing = iota // unknown or partial: change nothing, count it
	StandingPending                    // received, the payer has to act
	StandingAuthorized                 // accepted or in execution, not final
	StandingExecuted                   // the payer's account is settled (ACSC)
	StandingSettled                    // the payee's account is credited (ACCC)
	StandingRefused                    // RJCT: no money moves
	StandingCanceled                   // CANC: no money moves
)

// StandingOf maps an ISO 20022 external payment transaction status, as
// NextGenPSD2 1.3.12 uses them. The OpenAPI file describes ACCC and ACSC with
// the same words; only ACCC says that the payee has the money. ACSP is not
// final. What is not in the list keeps the state: real banks send codes of
// their own, and a guess here would lose or double money.
func StandingOf(transactionStatus string) Standing {
	switch transactionStatus {
	case "RCVD", "PDNG", "PATC":
		return StandingPending
	case "ACTC", "ACCP", "ACFC", "ACWC", "ACSP", "ACWP":
		return StandingAuthorized
	case "ACSC":
		return StandingExecuted
	case "ACCC":
		return StandingSettled
	case "RJCT":
		return StandingRefused
	case "CANC":
		return StandingCanceled
	}
	return StandingKeep
}

// Final values of scaStatus (NextGenPSD2 §14.15).
const (
	SCAFinalised = "finalised"
	SCAFailed    = "failed"
	SCAExempted  = "exempted"
)

// SCAUnread stands for a scaStatus that could not be read just now: nobody may
// conclude from it that the payer did not authorise.
const SCAUnread = "?"

// ReasonOf maps a bank's reason code (ISO 20022 external status reason) to the
// reason a merchant is told. The raw code is kept beside it.
func ReasonOf(code string) FailureReason {
	switch code {
	case "AM04":
		return ReasonInsufficientFunds
	case "AC04", "AC06", "AG01", "AG10", "AG11", "MD07":
		return ReasonAccountBlocked
	case "AC01", "AC02", "AC03", "AC13", "RC01", "BE04":
		return ReasonInvalidAccount
	case "AM02", "AM14", "AM23", "AM21":
		return ReasonLimitExceeded
	case "AB05", "AB06", "AB07", "AB08", "AB09", "AB10", "AG09", "CNOR", "DNOR", "FF10", "TM01":
		return ReasonBankUnavailable
	case "DS02", "CUST", "access_denied": // the last is OAuth's word for a payer who said no (RFC 6749 §4.1.2.1)
		return ReasonPayerRejected
	case "DS24": // waiting time expired due to incomplete order
		return ReasonExpired
	case "PSU_CREDENTIALS_INVALID": // a NextGenPSD2 message code, not ISO
		return ReasonAuthenticationFailed
	}
	return ReasonBankRejected
}
