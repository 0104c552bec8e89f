package iso20022

import (
	"strings"
	"time"
)

// Layer says which of three judges refused a message. Each sees a message only
// when the one before it was content.
type Layer string

// The layers, from the outside in.
const (
	LayerXML    Layer = "xml"    // well-formed, bounded, without declarations
	LayerSchema Layer = "schema" // the ISO 20022 message definition
	LayerRule   Layer = "rule"   // the usage rules of SEPA Instant
)

// Fault is one reason why a message is refused. It never quotes the message,
// so it may be logged and shown.
type Fault struct {
	Layer       Layer  `json:"layer"`
	Rule        string `json:"rule"`           // stable id, e.g. "charge-bearer"; Rules lists those of LayerRule
	Path        string `json:"path,omitempty"` // element below Document, e.g. "CdtTrfTxInf/ChrgBr"
	Explanation string `json:"explanation"`    // one sentence
}

// Error is "rule: explanation (path)".
func (f *Fault) Error() string {
	s := f.Rule + ": " + f.Explanation
	if f.Path != "" {
		s += " (" + f.Path + ")"
	}
	return s
}

// Verdict is what Check finds.
type Verdict struct {
	Message string  `json:"message,omitempty"` // e.g. "pacs.008.001.08"; empty when it is none of ours
	OK      bool    `json:"ok"`
	Faults  []Fault `json:"faults,omitempty"` // all of one layer: one for xml and schema, for rules at most maxFaults in the order of Rules
}

// String is "ok" or the first fault as one line.
func (v Verdict) String() string {
	if v.OK {
		return "ok"
	}
	return v.Faults[0].Error()
}

// maxFaults keeps a long statement that breaks one rule in every entry from
// making a report that nobody reads.
const maxFaults = 20

const namespacePrefix = "urn:iso:std:iso:20022:tech:xsd:"

// Check judges one message strictly: XML, schema and, when both are in order,
// every usage rule of SEPA Instant. It reads at most MaxBytes and never panics.
func Check(data []byte) Verdict {
	d, f := open(data, Strict)
	if d == nil {
		return Verdict{Faults: []Fault{*f}}
	}
	v := Verdict{Message: d.message}
	if f != nil {
		v.Faults = []Fault{*f}
		return v
	}
	v.Faults = d.breaches()
	v.OK = len(v.Faults) == 0
	return v
}

// doc is a message that has passed the schema.
type doc struct {
	message string // e.g. "pain.001.001.09"
	body    *node  // the one child of Document
	created time.Time
	ignored int
	byType  map[string][]*node // filled by index
}

// open parses data and holds it against the schema. With a fault, doc is nil
// unless the kind of message is known.
func open(data []byte, mode Mode) (*doc, *Fault) {
	root, f := parse(data)
	if f != nil {
		return nil, f
	}
	name, ours := strings.CutPrefix(root.space, namespacePrefix)
	t := theSchema().messages[name]
	if !ours || t == nil || root.name != "Document" {
		return nil, &Fault{Layer: LayerSchema, Rule: "schema-message", Explanation: "the root is not the Document of a message this codec knows"}
	}
	w := &walker{space: root.space, lenient: mode == Lenient && lenientAllowed(name)}
	d := &doc{message: name}
	if f := w.element(root, t); f != nil {
		return d, f
	}
	if len(root.kids) == 0 { // only a lenient reader gets here
		return d, missing(root, t.kids[0].tag)
	}
	d.body, d.ignored = root.kids[0], w.ignored
	d.created = stamp(either(d.body.at("GrpHdr"), d.body.at("Assgnmt"), "CreDtTm"))
	return d, nil
}

// lenientAllowed: what banks send us may be off the schema; what moves money
// between banks, and what is sent to a bank, may not.
func lenientAllowed(message string) bool {
	return strings.HasPrefix(message, "camt.") || strings.HasPrefix(message, "pain.002.")
}

// stamp reads an xs:dateTime that the schema has let pass; without a zone it
// is taken as UTC. The zero time stands for none.
func stamp(n *node) time.Time {
	if n == nil {
		return time.Time{}
	}
	s := trim(n.text)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// day reads an xs:date as midnight UTC; a zone is of no meaning to us.
func day(n *node) time.Time {
	if n == nil {
		return time.Time{}
	}
	s := trim(n.text)
	t, err := time.Parse(dayPattern, s[:min(len(s), len(dayPattern))])
	if err != nil {
		return time.Time{}
	}
	return t
}
