package iso20022

import (
	"strings"

	"github.com/rialto-hub/rialto/psd2"
)

// Message is one of the ten messages: *Initiation, *InitiationStatus,
// *InterbankTransfer, *TransferStatus, *Return, *StatusRequest, *Recall,
// *RecallAnswer, *Statement or *Notification.
type Message interface {
	// Name is the message definition with its version, e.g. "pain.001.001.09".
	Name() string

	body() *node        // the child of Document
	fill(*reader, *doc) // from a tree that has passed the schema
}

// Mode says how exact a reader is.
type Mode int

// The modes.
const (
	// Strict accepts what Check accepts and nothing else.
	Strict Mode = iota
	// Lenient, for the pain.002 and camt.* messages of a bank, passes over
	// unknown elements and attributes, wrong order, missing elements, texts that
	// are too long and usage rules, and counts what it passed over in the
	// schema. It still refuses what could mean two things: another namespace, a
	// repeated single element, two alternatives at once, a malformed amount or
	// date. For every other message it is the same as Strict.
	Lenient
)

// Read reads one message of at most MaxBytes. The error is a *Fault.
func Read(data []byte, mode Mode) (Message, error) {
	d, f := open(data, mode)
	if f != nil {
		return nil, f
	}
	lenient := mode == Lenient && lenientAllowed(d.message)
	if !lenient {
		if faults := d.breaches(); len(faults) > 0 {
			return nil, &faults[0]
		}
	}
	m := blank(d.message)
	r := &reader{lenient: lenient, ignored: d.ignored}
	m.fill(r, d)
	if r.fault != nil {
		return nil, r.fault
	}
	return m, nil
}

// ReadAs reads a message that must be of one kind, for example
// ReadAs[*InitiationStatus](data, Lenient). The error is a *Fault.
func ReadAs[M Message](data []byte, mode Mode) (M, error) {
	var none M
	m, err := Read(data, mode)
	if err != nil {
		return none, err
	}
	want, ok := m.(M)
	if !ok {
		return none, &Fault{Layer: LayerSchema, Rule: "schema-message", Explanation: "the file holds a " + m.Name() + ", which is not expected here"}
	}
	return want, nil
}

// Write writes a message in UTF-8. It is judged by Check before it is
// returned, so nothing leaves that our own strict reader would refuse; the
// error is a *Fault that names the rule.
func Write(m Message) ([]byte, error) {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	b.WriteString(`<Document xmlns="` + namespacePrefix + m.Name() + `">`)
	write(&b, m.body())
	b.WriteString("</Document>\n")
	out := []byte(b.String())
	if v := Check(out); !v.OK {
		return nil, &v.Faults[0]
	}
	return out, nil
}

func blank(name string) Message {
	switch name {
	case nameInitiation:
		return &Initiation{}
	case nameInitiationStatus:
		return &InitiationStatus{}
	case nameInterbankTransfer:
		return &InterbankTransfer{}
	case nameTransferStatus:
		return &TransferStatus{}
	case nameReturn:
		return &Return{}
	case nameStatusRequest:
		return &StatusRequest{}
	case nameRecall:
		return &Recall{}
	case nameRecallAnswer:
		return &RecallAnswer{}
	case nameStatement:
		return &Statement{}
	case nameNotification:
		return &Notification{}
	}
	panic("iso20022: the schema has a message " + name + " that the codec has not")
}

// The message definitions, all of the 2019 generation that the SEPA schemes
// use until 2027-11-21.
const (
	nameInitiation        = "pain.001.001.09"
	nameInitiationStatus  = "pain.002.001.10"
	nameInterbankTransfer = "pacs.008.001.08"
	nameTransferStatus    = "pacs.002.001.10"
	nameReturn            = "pacs.004.001.09"
	nameStatusRequest     = "pacs.028.001.03"
	nameRecall            = "camt.056.001.08"
	nameRecallAnswer      = "camt.029.001.09"
	nameStatement         = "camt.053.001.08"
	nameNotification      = "camt.054.001.08"
)

// reader carries what filling a message may run into.
type reader struct {
	lenient bool
	ignored int
	fault   *Fault // the first
}

func (r *reader) money(n *node) psd2.Money {
	m, f := money(n, r.lenient)
	if f != nil && r.fault == nil {
		r.fault = f
	}
	return m
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\r", "&#13;")

func write(b *strings.Builder, n *node) {
	if n == nil {
		return
	}
	b.WriteString("<" + n.name)
	if n.hasCcy {
		b.WriteString(` Ccy="` + escaper.Replace(n.ccy) + `"`)
	}
	b.WriteString(">" + escaper.Replace(n.text))
	for _, k := range n.kids {
		write(b, k)
	}
	b.WriteString("</" + n.name + ">")
}
