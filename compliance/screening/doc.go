// Package screening compares the people of the hub with sanctions and PEP
// lists, and proves that it did.
//
//		journal ──▶ persons ──▶ onboarding ─┐
//		clock ──────────────▶ full, daily  ─┼─▶ results ──▶ Screened (rules R27, R28)
//		list directory ─────▶ delta        ─┘      └─▶ findings, with their explanation ──▶ desk
//		                                    └─▶ signed report of each run ──▶ desk
//
//	  - A person is screened when the first payment names him, and again when a
//	    later one names him differently; everybody every calendar day, and as soon
//	    as a list has changed (Regulation (EU) 260/2012 Art. 5d). A delta looks at
//	    everybody too, but counts only what the change brought.
//	  - Nothing is compared while a transfer executes: the rules read the stored
//	    result (Screened), which needs no list. Whom the journal has not brought
//	    yet the hub's gate has screened before any order exists (Onboard); where
//	    lists are configured and not loaded, he waits.
//	  - Nobody's name is kept here. It is read, for the moment of the comparison,
//	    from the payment where psd2/store sealed it with the person's key: who is
//	    erased there can no longer be screened, and his rows go.
//	  - A finding is about one person and one entry. It is raised once, and again
//	    only when there is something new to judge: the entry's content or the
//	    person's data changed, or the time for which two officers had cleared it
//	    is over. A cleared entry counts nowhere until then.
//	  - Whoever holds the lease works. Results, findings and the place in the run
//	    are one transaction, so a process that dies loses nothing and doubles
//	    nothing. A list that changes during a run ends it: its report says how many
//	    were left out, and a new run begins.
//	  - A day without a complete full run is missed: the desk's calendar and a
//	    metric show it. Lists that cannot be read stop runs, they never make them
//	    empty.
//
// Tables: screening_* of migration 0009. Neighbours: compliance (desk, whitelist,
// reports), compliance/names (lists and comparison), compliance/monitor (reads
// Screened through an interface of its own).
package screening
