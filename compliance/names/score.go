package names

// ExactFloor divides the scores: names that agree word for word score above it, all others below it.
const ExactFloor = 0.95

// toll prices what two names do not share, in units of the weight of what they do.
type toll struct {
	conflict float64 // both have a word that the other lacks: Hans Meier, Hans Kunz
	first    float64 // only the first name has more
	second   float64 // only the second name has more
}

// likeness is the share of two names that agrees, in [0,1].
func (al *alignment) likeness(t toll) float64 {
	conflict := min(al.loose, al.looseSecond)
	whole := al.shared + t.conflict*conflict + t.first*(al.loose-conflict) + t.second*(al.looseSecond-conflict)
	if whole <= 0 {
		return 0
	}
	return min(al.credit/whole, 1)
}

// grade turns likeness and rarity, both in [0,1], into a score. Rarity orders what likeness alone leaves equal, and keeps every score
// below 1.
func grade(likeness, rarity float64, exact bool) float64 {
	if exact { // likeness is below 1 here only for a title that one side lacks
		return ExactFloor + (1-ExactFloor)*rarity*likeness
	}
	return likeness * (0.86 + 0.14*rarity) * ExactFloor
}
