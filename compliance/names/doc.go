// Package names screens the names of players, payers and payees against sanctions lists, and compares two names with each other
// (the own-name rule of GwG §16(4) uses the same comparison).
//
// It is pure: no database, no network, no clock. The way of a name is
//
//		file ──reader──▶ List ──NewIndex──▶ Index ──Screen──▶ []Hit (score, entry, explanation)
//		          (ofac, un, eu, plain)        │
//		name ──fold──▶ tokens ──sound──▶ keys ─┘        Pair(schema, a, b) ──▶ score
//
//	  - Readers: OFAC SDN and non-SDN (the CSV exports with their alt, add and comments files), the UN consolidated XML, a plain CSV of
//	    one's own, and the EU consolidated XML (unconfirmed: written from the published schema, not yet held against a real file).
//	    LoadDir finds them below a directory; a List carries a hash, the dates and the counts that a run report needs.
//	  - Fold turns any writing into lower-case ASCII letters: Unicode forms, diacritics, Cyrillic, Greek, Arabic, Hebrew, Armenian,
//	    Georgian, Hangul, kana, common Han characters of names, and the scripts of India. What it does not know it keeps as it is, so
//	    that two names of one script can still be compared.
//	  - A token also has a sound (one spelling for German, English, French and Slavic romanisations: Prigoschin, Prigozhin) and a
//	    skeleton (the sound without vowels, for scripts that do not write them).
//	  - The index finds, for each token of the query, the similar tokens of the lists (two-letter grams, sound, skeleton), then the
//	    names that hold them, and aligns the best of these with the query.
//	  - The score is in [0,1). Rare tokens weigh more than common ones; what both names have and the other lacks (a conflict) costs far
//	    more than what only one of them has; birth date and country move the score after that. Identical names lie above ExactFloor
//	    and are ordered by their rarity, everything else lies below it, and nothing reaches 1: a queue sorted by score has an order.
//	  - Every hit explains itself: which token met which, how (same, sound, spelling, initial, joined …) and what found no partner.
//
// Titles, particles (bin, von, al), legal forms and very common names are data in words.go. The package knows nothing of cases, alerts
// or whitelists; those belong to its caller in compliance.
package names
