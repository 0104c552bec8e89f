// Package hub holds the use cases: start a payment, let the payer authorise it
// at his bank, follow it to its end, cancel it. It is the only caller of bank
// adapters and the only writer of payments.
//
// # The one call that may move money
//
// Authorise commits the attempt first, then calls Bank.Initiate exactly once,
// then commits the answer; no transaction is open during the call. The payer
// gets the bank's link only after the answer is committed. So whatever dies in
// between, an order whose link was never handed out is abandoned, and one
// whose link was handed out is followed until the bank says what became of it.
//
// It is made within BankTimeout of its intent or not at all (a process that
// slept meanwhile has been given up), and says what was committed with it
// (psd2.Terms). Where a bank's customer may authorise an order without us, as
// banks.Info.AtRiskOnceSent derives, a lost answer makes the outcome unknown,
// and nothing is sent again.
//
// # At most one
//
// Of a payment, and of a refund or payout, at most one order is ever executed,
// whatever dies, sleeps, repeats itself or is lost. It follows from three rules,
// each of which is held by tests:
//
// One order per attempt, and one attempt at a time: BeginAttempt and Submit are
// compare-and-swap, and whoever commits the intent makes the call.
//
//	hub: TestFiftyClicksAreOneOrder, TestConsentIsGoodOnce, TestTwoHubsSendOnce
//	psd2: TestPaymentEndsInTheBanksTruth, TestTransferEndsInTheBanksTruth
//	cmd/rialto: TestKillLosesNothingAndPaysOnce, TestClusterSurvivesKillsAndPartitions
//
// No second attempt while the first may move money, and none that is given up
// may still be sent or authorised.
//
//	banks: TestMoneyIsAtRiskOnceSentWhereNoFurtherActOfOursIsNeeded
//	psd2: TestLostInitiationAtRiskIsUnknown, TestNobodyGetsALinkOncePaid, TestBankThatAsksThroughUsIsNotAtRisk,
//	TestRedirectLapsesNoSoonerThanTheBankHadTheOrder
//	hub: TestLostInitiationIsAbandonedAndThePaymentPaidOnce, TestLostInitiationAtRiskIsUnknownAndNothingIsSentAgain,
//	TestLostDecoupledInitiationIsUnknown, TestLateAnswerOfAGivenUpInitiationHandsOutNoLink, TestProcessThatSleptDoesNotSendTheOrder,
//	TestHubThatDiesAroundTheCallDoesNotPayTwice, TestLostAnswerIsNeverSentAgain
//
// No adapter and no transport repeats a request, and what is sent is what was
// committed.
//
//	banks/bankstest: the checks one-request, lost-request, lost-answer, stale-connection, server-errors, risk-declared
//	hub: TestOrderThatIsNotWhatWasCommittedIsNotSent
//
// All of it together, in worlds that fail on purpose, and with the rules taken
// out one by one to see that it shows:
//
//	sim: TestHubKeepsItsPromisesInEveryWorld, TestPlantedFaultIsFound
//
// # Following
//
// Step looks at payments that are due: it asks the bank, ends what ran out of
// time, and leaves to psd2's state machine what that means. The payer's return
// only makes it look sooner. A bank that does not answer makes a payment
// unknown, never failed.
//
// # Money out
//
// Refunds and payouts (refund.go, payout.go) are created in the caller's
// transaction and carried by StepTransfers (carry.go): the payee's bank is
// asked for the name, compliance for leave, the intent is committed, and then
// Channel.Pay is called exactly once. Every doubt makes a transfer unknown.
// Only Channel.Find and the statement settle it: "not found" proves that an
// order never arrived while the bank would still know it, and never after.
//
// # Deciding
//
// What a bank does not say for an hour, two people may decide in its place
// (decide.go): one proposes, another approves, and the journal of it
// (decisions.go) is only added to. The bank's own word is believed whenever it
// comes, and counted when it contradicts them.
//
// # Statements
//
// StepStatements (statements.go) reads payee accounts. Each entry is put into
// its class by EndToEndId, settles the deposit or transfer it belongs to, tells
// who paid, and is posted to the ledger, whose other side is what the journal
// says was executed. What the two do not explain of the balance shows.
//
// # Sweeping
//
// SweepStep (sweep.go) does what its owner has left for five minutes, releases
// the keys of requests that died, and hands to the operators (Stuck) what cannot
// be looked at. Each job has one owner by lease; what a former owner still
// writes is refused by compare-and-swap or by the fence.
package hub
