package compliance

import (
	"slices"
	"time"
	"unicode/utf8"

	"github.com/rialto-hub/rialto/psd2"
)

// State is where a case stands; see the package comment.
type State string

// States of a case.
const (
	New                   State = "new"
	Triaged               State = "triaged"
	Investigating         State = "investigating"
	AwaitingInfo          State = "awaiting_info"
	ProposedFalsePositive State = "proposed_false_positive"
	ProposedNoSuspicion   State = "proposed_no_suspicion"
	ProposedSAR           State = "proposed_sar"
	Closed                State = "closed"
	SARExported           State = "sar_exported"
	SARFiled              State = "sar_filed"
	Released              State = "released"
	Blocked               State = "blocked"
)

// States lists them in the order of a case's life.
var States = []State{New, Triaged, Investigating, AwaitingInfo, ProposedFalsePositive, ProposedNoSuspicion, ProposedSAR,
	Closed, SARExported, SARFiled, Released, Blocked}

var (
	working  = []State{New, Triaged, Investigating, AwaitingInfo}
	proposed = []State{ProposedFalsePositive, ProposedNoSuspicion, ProposedSAR}
	ended    = []State{Closed, Released, Blocked}
	secret   = []State{ProposedSAR, SARExported, SARFiled, Released, Blocked} // for reporting officers only
)

// Restricted reports whether only reporting officers may see a case in that
// state: it says that a report of suspicion is considered, or made.
func (s State) Restricted() bool { return slices.Contains(secret, s) }

// Ended reports a state that only reopening leaves.
func (s State) Ended() bool { return slices.Contains(ended, s) }

// Proposed reports a state that waits for the second person.
func (s State) Proposed() bool { return slices.Contains(proposed, s) }

// Action is what an officer does to a case.
type Action string

// Actions.
const (
	Take                 Action = "take"        // lock it and make it mine
	Assign               Action = "assign"      // make it a colleague's
	Unlock               Action = "unlock"      // give my lock back
	Investigate          Action = "investigate" //
	AskInfo              Action = "ask_info"    // wait for papers
	Note                 Action = "note"        //
	Escalate             Action = "escalate"    // for the reporting officer to look at
	Snooze               Action = "snooze"      // out of the queue until a day
	Wake                 Action = "wake"        // back into it
	ProposeFalsePositive Action = "propose_false_positive"
	ProposeNoSuspicion   Action = "propose_no_suspicion"
	ProposeSAR           Action = "propose_sar"
	Withdraw             Action = "withdraw" // my own proposal
	Return               Action = "return"   // somebody else's
	Approve              Action = "approve"
	File                 Action = "file" // the FIU has it, under this reference
	Release              Action = "release"
	Block                Action = "block"
	Reopen               Action = "reopen"
	Split                Action = "split" // some of its alerts into a case of their own
	Join                 Action = "join"  // its alerts into another case; this one ends
)

// rule says who may do an action, from where, and what he has to give.
type rule struct {
	from   []State
	to     State // "" stays
	roles  []Role
	reason bool // one of Reasons
	note   bool
	free   bool // works while a colleague holds the lock
}

var (
	workers   = []Role{Analyst, MLRO}
	reporters = []Role{MLRO}
)

var rules = map[Action]rule{
	Take:                 {from: working, roles: workers},
	Assign:               {from: working, roles: workers},
	Unlock:               {from: States, roles: workers},
	Investigate:          {from: []State{New, Triaged, AwaitingInfo}, to: Investigating, roles: workers},
	AskInfo:              {from: []State{Investigating}, to: AwaitingInfo, roles: workers, note: true},
	Note:                 {from: States, roles: workers, note: true, free: true},
	Escalate:             {from: working, roles: workers, note: true},
	Snooze:               {from: working, roles: workers, reason: true, note: true},
	Wake:                 {from: working, roles: workers},
	ProposeFalsePositive: {from: []State{Investigating, AwaitingInfo}, to: ProposedFalsePositive, roles: workers, reason: true, note: true},
	ProposeNoSuspicion:   {from: []State{Investigating, AwaitingInfo}, to: ProposedNoSuspicion, roles: workers, reason: true, note: true},
	ProposeSAR:           {from: []State{Investigating, AwaitingInfo}, to: ProposedSAR, roles: reporters, reason: true, note: true},
	Withdraw:             {from: proposed, to: Investigating, roles: workers, note: true},
	Return:               {from: proposed, to: Investigating, roles: workers, note: true},
	Approve:              {from: proposed, roles: workers},
	File:                 {from: []State{SARExported}, to: SARFiled, roles: reporters},
	Release:              {from: []State{SARFiled}, to: Released, roles: reporters, note: true},
	Block:                {from: []State{SARFiled}, to: Blocked, roles: reporters, note: true},
	Reopen:               {from: ended, to: Investigating, roles: workers, reason: true, note: true},
	Split:                {from: working, roles: workers, note: true},
	Join:                 {from: working, to: Closed, roles: workers, note: true},
}

// Reasons are the codes an action may give. Texts belong to the pages.
var Reasons = map[Action][]string{
	ProposeFalsePositive: {"name_differs", "known_behaviour", "data_error", "rule_too_wide", "other"},
	ProposeNoSuspicion:   {"plausible", "documents", "winnings", "family_account", "other"},
	ProposeSAR:           {"structuring", "third_party", "pass_through", "source_of_funds", "identity", "sanctions", "terrorist_financing", "other"},
	Snooze:               {"waiting_for_papers", "watching", "planned_review", "other"},
	Reopen:               {"new_information", "quality_review", "mistake", "other"},
}

// MaxSnooze is the longest a case may leave the queue.
const MaxSnooze = 180 * 24 * time.Hour

// lockLife is how long a lock holds after its holder's last action.
const lockLife = 15 * time.Minute

// maxNote bounds a note, in bytes.
const maxNote = 8000

// Act is one action with what it needs.
type Act struct {
	Do        Action
	By        Officer
	Version   int64     // of the case as the officer saw it
	Reason    string    // one of Reasons[Do]
	Note      string    // in the officer's words; sealed
	Until     time.Time // Snooze; with ProposeFalsePositive the end of the whitelisting
	To        Officer   // Assign
	Reference string    // File: the FIU's; Release: of its consent, before the time has passed
	Entries   []string  // ProposeFalsePositive: list entries that are not this person
	Alerts    []string  // Split: those that leave
	Into      string    // Join: the case that gets the alerts
	bulk      string    // id of a closing of many
	about     involved  // ProposeSAR: whose money waits from then on
}

// Proposal is what the second person decides on.
type Proposal struct {
	Do         Action    `json:"do"`
	By         string    `json:"by"`
	Name       string    `json:"name"`
	Credential string    `json:"credential"`
	At         time.Time `json:"at"`
	Reason     string    `json:"reason"`
	Entries    []string  `json:"entries,omitempty"`
	Until      time.Time `json:"until,omitzero"`
}

// Can reports whether the officer could do this now, were he to give what it
// needs. Pages show only such actions; Do decides.
func (c *Case) Can(do Action, o Officer, now time.Time) bool {
	r, ok := rules[do]
	if !ok || !o.Has(r.roles...) || !slices.Contains(r.from, c.State) || c.State.Restricted() && !o.Has(MLRO) {
		return false
	}
	if !r.free && c.lockedFor(o, now) {
		return false
	}
	switch do {
	case Unlock:
		return c.LockedBy == o.ID && now.Before(c.LockedUntil)
	case Approve, Return:
		return !o.same(c.Proposal.By, c.Proposal.Credential)
	case Withdraw:
		return c.Proposal.By == o.ID
	case Wake:
		return now.Before(c.SnoozedUntil)
	case Split:
		return c.Alerts > 1
	case Reopen:
		return c.JoinedTo == ""
	}
	return true
}

// Do carries an action out, or says why not. It touches nothing but c.
func (c *Case) Do(a Act, now time.Time) error {
	r, ok := rules[a.Do]
	if !ok {
		return psd2.Invalid("do", "action_unknown", "there is no such action")
	}
	if err := a.By.must(r.roles...); err != nil {
		return err
	}
	if c.State.Restricted() && !a.By.Has(MLRO) {
		return psd2.NotFound("case")
	}
	if a.Version != c.Version {
		return c.changed()
	}
	if !slices.Contains(r.from, c.State) {
		return c.conflict("state_conflict", "the case is not in a state that allows this; it was last changed by "+c.lastChange())
	}
	if !r.free && c.lockedFor(a.By, now) {
		return c.conflict("case_locked", c.LockedName+" is working on this case until "+c.LockedUntil.Format(time.RFC3339))
	}
	if err := r.complete(a, now); err != nil {
		return err
	}
	if err := c.guard(a, now); err != nil {
		return err
	}
	c.carryOut(a, r, now)
	return nil
}

// complete checks what an action has to bring.
func (r rule) complete(a Act, now time.Time) error {
	switch {
	case r.reason && !slices.Contains(Reasons[a.Do], a.Reason):
		return psd2.Invalid("reason", "reason_required", "choose a reason from the list")
	case r.note && len([]rune(a.Note)) < 3:
		return psd2.Invalid("note", "note_required", "say why, in a few words")
	case len(a.Note) > maxNote || !utf8.ValidString(a.Note):
		return psd2.Invalid("note", "note_too_long", "a note has at most 8000 bytes of text")
	case a.Do == Snooze && !a.Until.After(now):
		return psd2.Invalid("until", "until_past", "choose a day in the future")
	case a.Do == Snooze && a.Until.After(now.Add(MaxSnooze)):
		return psd2.Invalid("until", "until_too_far", "a case may rest 180 days at most")
	case a.Do == Assign && (a.To.ID == "" || !a.To.Has(workers...)):
		return psd2.Invalid("to", "assignee_unfit", "choose a colleague who works cases")
	case a.Do == File && (len(a.Reference) < 3 || len(a.Reference) > 64):
		return psd2.Invalid("reference", "reference_required", "enter the reference that the FIU gave")
	case len(a.Entries) > 0 && (!a.Until.After(now) || a.Until.After(now.Add(maxWhitelist))):
		return psd2.Invalid("until", "whitelist_until", "a cleared list entry needs an end within one year")
	case a.Do == Split && len(a.Alerts) == 0:
		return psd2.Invalid("alerts", "split_none", "tick the alerts that get a case of their own")
	case len(a.Entries) > 50:
		return psd2.Invalid("entries", "too_many_entries", "clear at most 50 list entries at once")
	}
	return nil
}

// guard holds what depends on the case: four eyes, and the waiting period.
func (c *Case) guard(a Act, now time.Time) error {
	switch a.Do {
	case Approve, Return:
		if a.By.same(c.Proposal.By, c.Proposal.Credential) {
			return psd2.Fail(psd2.CodeForbidden, "same_person", "who proposed does not decide: a second person has to")
		}
	case Withdraw:
		if c.Proposal.By != a.By.ID {
			return psd2.Fail(psd2.CodeForbidden, "not_yours", "only who made a proposal can withdraw it")
		}
	case Release:
		if now.Before(c.WaitUntil) && a.Reference == "" {
			return c.conflict("waiting_period", "the waiting period ends on "+c.WaitUntil.Format(time.RFC3339)+"; before that the FIU's consent is needed")
		}
	case Reopen:
		if c.JoinedTo != "" {
			return c.conflict("case_joined", "this case was joined to another one; work goes on there")
		}
	case Assign:
		if c.State.Restricted() && !a.To.Has(MLRO) {
			return psd2.Invalid("to", "assignee_unfit", "only a reporting officer may see this case")
		}
	}
	return nil
}

func (c *Case) carryOut(a Act, r rule, now time.Time) {
	if r.to != "" {
		c.State = r.to
	}
	switch a.Do {
	case Take, Investigate:
		if c.State == New {
			c.State = Triaged
		}
		c.Assignee, c.AssigneeName = a.By.ID, a.By.Name
	case Assign:
		if c.State == New {
			c.State = Triaged
		}
		c.Assignee, c.AssigneeName = a.To.ID, a.To.Name
	case Escalate:
		c.Escalated = true
	case Snooze:
		c.SnoozedUntil, c.SnoozeSeverity = a.Until, c.Severity
	case Wake:
		c.SnoozedUntil = time.Time{}
	case ProposeFalsePositive, ProposeNoSuspicion, ProposeSAR:
		c.SnoozedUntil = time.Time{}
		c.BulkID = a.bulk
		c.Proposal = Proposal{Do: a.Do, By: a.By.ID, Name: a.By.Name, Credential: a.By.Credential, At: now, Reason: a.Reason,
			Entries: a.Entries, Until: a.Until}
	case Withdraw, Return:
		c.Proposal, c.BulkID = Proposal{}, ""
	case Approve:
		c.approve()
	case File:
		c.Reference = a.Reference
	case Join:
		c.Outcome, c.Reason, c.JoinedTo = OutcomeJoined, "", a.Into
		c.SnoozedUntil = time.Time{}
	case Reopen:
		c.Outcome, c.Reason = "", ""
		c.Proposal, c.BulkID = Proposal{}, ""
	}
	c.touch(a.By, now)
	c.relock(a, now)
	c.ClosedAt = time.Time{}
	if c.State.Ended() {
		c.ClosedAt = now
	}
}

// approve ends a proposal as its maker meant it.
func (c *Case) approve() {
	c.Reason = c.Proposal.Reason
	switch c.State {
	case ProposedSAR:
		c.State, c.Outcome = SARExported, OutcomeSAR
	case ProposedFalsePositive:
		c.State, c.Outcome = Closed, OutcomeFalsePositive
	case ProposedNoSuspicion:
		c.State, c.Outcome = Closed, OutcomeNoSuspicion
	}
}

// relock gives the lock to who works on, and takes it from who is done.
func (c *Case) relock(a Act, now time.Time) {
	switch {
	case a.Do == Note && c.lockedFor(a.By, now): // a word in passing
	case a.Do == Take, a.Do == Investigate, a.Do == AskInfo, a.Do == Note, a.Do == Reopen, a.Do == Withdraw, a.Do == Wake, a.Do == Split:
		c.lock(a.By, now)
	default:
		c.LockedBy, c.LockedName, c.LockedUntil = "", "", time.Time{}
	}
}

func (c *Case) lock(o Officer, now time.Time) {
	c.LockedBy, c.LockedName, c.LockedUntil = o.ID, o.Name, now.Add(lockLife)
}

// opens reports whether looking at the case locks it: for who may work it, unless
// it is a colleague's, waits for a reporting officer, or is his for long enough.
func (c *Case) opens(o Officer, now time.Time) bool {
	if !o.Has(workers...) || !slices.Contains(working, c.State) || c.lockedFor(o, now) || c.Escalated && !o.Has(MLRO) {
		return false
	}
	return (c.Assignee == "" || c.Assignee == o.ID) && c.LockedUntil.Before(now.Add(lockLife/2))
}

func (c *Case) lockedFor(o Officer, now time.Time) bool {
	return c.LockedBy != "" && c.LockedBy != o.ID && now.Before(c.LockedUntil)
}

func (c *Case) touch(o Officer, now time.Time) {
	c.ChangedAt, c.ChangedBy, c.ChangedName = now, o.ID, o.Name
}

// Rival is the cause of a conflict: who was faster, or is at work, and when he
// was, or until when. Pages put it into the reader's language.
type Rival struct {
	Name string // "" is the system
	At   time.Time
}

func (r *Rival) Error() string { return "by " + r.Name + " at " + r.At.Format(time.RFC3339) }

func (c *Case) lastChange() string {
	who := c.ChangedName
	if who == "" {
		who = "the system"
	}
	return who + " at " + c.ChangedAt.Format(time.RFC3339)
}

// changed is the answer to who was not the first: by whom, and when.
func (c *Case) changed() error {
	return c.conflict("case_changed", "this case was changed by "+c.lastChange()+"; look again before you decide")
}

func (c *Case) conflict(reason, message string) error {
	rival := &Rival{c.ChangedName, c.ChangedAt}
	switch reason {
	case "case_locked":
		rival = &Rival{c.LockedName, c.LockedUntil}
	case "waiting_period":
		rival = &Rival{At: c.WaitUntil}
	}
	return &psd2.Error{Code: psd2.CodeConflict, Reason: reason, Message: message, Err: rival}
}
