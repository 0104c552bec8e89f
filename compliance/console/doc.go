// Package console is where officers work: the queue, a case with everything
// known about it, the second person's decision, the report to the FIU.
//
//	GET  /                       303 to /queue
//	GET  /queue                  ?bucket= ?state= ?family= ?severity= ?assignee= ?overdue= ?samples= ?after=
//	POST /queue/next             take the next case, locked, and go there
//	POST /queue/bulk             propose one end for the ticked cases
//	POST /queue/views            keep, or remove, a filter under a name
//	POST /queue/csv              the filtered queue as a file
//	GET  /cases/{id}             why, who, when, what else; what can be done; locked for who works it
//	POST /cases/{id}/act         do= an action of compliance.Action
//	POST /cases/{id}/reveal      one masked field, shown once
//	GET  /cases/{id}/report      the wizard (?step=)
//	POST /cases/{id}/report      saves a step
//	POST /cases/{id}/report/file the exported XML
//	POST /proposals/{id}         decides a closing of many
//	GET  /alerts/{id}            every hit with its inputs
//	POST /alerts/{id}/judge      every hit once more, from what was stored
//	GET  /rules/changes          sets of rules, and a form for a new draft
//	POST /rules/changes          drafts one
//	GET  /rules/changes/{id}     what it changes, what it said in shadow
//	POST /rules/changes/{id}     do=shadow, publish (a second person), withdraw
//	POST /rules/changes/{id}/backtest  both sets over stored history, drawn
//	GET  /persons/{id}/data      what the person himself may get, as a file
//	GET  /rules /screening /runs /holds /audit /keeping
//	POST /holds/{id}             do=release, refuse; approve, return (a second person)
//	POST /audit/export /keeping /search /logout
//	GET  /static/…               assets
//
// The page decides nothing: who may do what, and that two people decide, is
// compliance.Case's to say. It shows masked values; a whole one is the answer
// to a post with a reason, which the audit chain holds. Search terms and
// everything personal travel in bodies, never in URLs.
//
// Whose request it is, Login says; the console adds that a session must have
// begun with a verified passkey, and when it is over.
//
// Neighbours: compliance does all the work, compliance/rulebook changes rules, psd2/page gives the look, psd2/edge
// the plumbing.
package console
