package iso20022

// The rules about answers: status reports, returns and recalls.

// words makes a set of words for the code lists below.
func words(list ...string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, w := range list {
		set[w] = true
	}
	return set
}

var (
	transferStatuses = words("ACCP", "RJCT")
	// the ISO external code sets for the status of a group, a batch and a transaction
	knownStatuses = words("ACCC", "ACCP", "ACFC", "ACFW", "ACIS", "ACPD", "ACSC", "ACSP", "ACTC", "ACWC", "ACWP", "BLCK",
		"CANC", "CPUC", "PART", "PATC", "PDNG", "PRES", "RCVC", "RCVD", "RJCT", "RVCM", "RVMC", "RVNA", "RVNC", "RVNM")
	recallReasons  = words("DUPL", "TECH", "FRAD", "CUST", "AC03", "AM09")
	declineReasons = words("AC04", "AM04", "ARDT", "CUST", "LEGL", "NOAS", "NOOR", "RR04")
)

// statuses are the elements of a report that carry a status.
func (d *doc) statuses() []*node {
	var out []*node
	d.body.each(func(n *node) {
		switch n.name {
		case "GrpSts", "PmtInfSts", "TxSts":
			out = append(out, n)
		}
	})
	return out
}

func transferStatus(d *doc) []*node {
	all := d.statuses()
	if len(all) == 0 {
		return []*node{d.body}
	}
	return pick(all, func(n *node) bool { return !transferStatuses[n.text] })
}

func statusKnown(d *doc) []*node {
	all := d.statuses()
	if len(all) == 0 {
		return []*node{d.body}
	}
	return pick(all, func(n *node) bool { return !knownStatuses[n.text] })
}

// rejectReason: a report that rejects says why, at the group, the batch or the
// transaction.
func rejectReason(d *doc) []*node {
	if len(d.reasons("StatusReasonInformation12")) > 0 {
		return nil
	}
	rejected := pick(d.statuses(), func(n *node) bool { return n.text == "RJCT" })
	return rejected[:min(len(rejected), 1)]
}

// reasons returns the codes, or proprietary reasons, given in elements of that type.
func (d *doc) reasons(typ string) []string {
	var out []string
	for _, n := range d.byType[typ] {
		if r := n.val("Rsn/Cd") + n.val("Rsn/Prtry"); r != "" {
			out = append(out, r)
		}
	}
	return out
}

// unreasoned returns the reasons that are not among the allowed codes, or the
// whole message when it gives none.
func (d *doc) unreasoned(typ string, allowed map[string]bool) []*node {
	if len(d.byType[typ]) == 0 {
		return []*node{d.body}
	}
	return pick(d.byType[typ], func(n *node) bool { return !allowed[n.val("Rsn/Cd")] })
}

func returnReason(d *doc) []*node {
	return d.unreasoned("PaymentReturnReason6", words("FOCR"))
}

func recallReason(d *doc) []*node {
	return d.unreasoned("PaymentCancellationReason5", recallReasons)
}

func recallAnswer(d *doc) []*node {
	if sts := d.body.at("Sts"); sts.val("Conf") != "RJCR" {
		return []*node{sts}
	}
	return nil
}

func recallDeclineReason(d *doc) []*node {
	return d.unreasoned("CancellationStatusReason4", declineReasons)
}
