package compliance

// SelectCases is for the test of the queue's plan.
const SelectCases = selectCases

// Chained is the hash of a row behind another, as who tampers makes it.
func Chained(r AuditRow, previous string) string {
	if r.Sealed == nil {
		r.Sealed = []byte{}
	}
	return r.chained(previous)
}
