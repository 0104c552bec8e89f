package iso20022

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
)

// Limits of what is read. They bound time and memory whatever the sender does;
// a statement of 20,000 entries stays below them.
const (
	MaxBytes    = 32 << 20
	MaxElements = 1_000_000
	MaxDepth    = 48
)

const schemaInstance = "http://www.w3.org/2001/XMLSchema-instance"

// node is one element.
type node struct {
	name   string
	space  string // namespace
	text   string // of a leaf
	ccy    string // attribute Ccy
	hasCcy bool
	alien  string // the first attribute nobody expects here
	kids   []*node
	parent *node
	typ    *typ // set by the walker
}

// parser turns bytes into nodes and refuses what well-formed XML may contain
// but no payment message needs: encoding/xml by itself would take a DOCTYPE,
// a second root, text outside the root and a value cut in two by a comment,
// and each of these has made two systems read two amounts in one message.
type parser struct {
	dec   *xml.Decoder
	data  []byte
	root  *node
	cur   *node
	depth int
	count int
	text  strings.Builder
	split map[*node]bool // elements with a comment inside
}

// parse reads one document. Every fault is of layer xml.
func parse(data []byte) (*node, *Fault) {
	if len(data) > MaxBytes {
		return nil, xmlFault("xml-size", "the message is larger than "+strconv.Itoa(MaxBytes>>20)+" MiB")
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	p := &parser{dec: xml.NewDecoder(bytes.NewReader(data)), data: data, split: map[*node]bool{}}
	for {
		start := p.dec.InputOffset()
		tok, err := p.dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, p.syntax(err)
		}
		if f := p.token(tok, start); f != nil {
			return nil, f
		}
	}
	if p.root == nil {
		return nil, xmlFault("xml-empty", "the file holds no XML element")
	}
	return p.root, nil
}

func (p *parser) token(tok xml.Token, start int64) *Fault {
	switch t := tok.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.EndElement:
		return p.end()
	case xml.CharData:
		return p.chars(t, start)
	case xml.Comment:
		if p.cur != nil {
			p.split[p.cur] = true
		}
	case xml.ProcInst:
		switch {
		case t.Target == "xml" && start != 0:
			return xmlFault("xml-syntax", "the XML declaration stands elsewhere than at the beginning")
		case t.Target != "xml" && p.cur != nil:
			return p.at(xmlFault("xml-instruction", "the message holds a processing instruction"))
		}
	case xml.Directive:
		return xmlFault("xml-doctype", "the message holds a DOCTYPE or another declaration, which no payment message may")
	}
	return nil
}

func (p *parser) start(t xml.StartElement) *Fault {
	if p.root != nil && p.cur == nil {
		return xmlFault("xml-trailing", "the message goes on after its root element has ended")
	}
	if trim(p.text.String()) != "" {
		return p.mixed()
	}
	p.count++
	p.depth++
	if p.count > MaxElements {
		return xmlFault("xml-elements", "the message has more than "+strconv.Itoa(MaxElements)+" elements")
	}
	if p.depth > MaxDepth {
		return xmlFault("xml-depth", "the elements are nested more than "+strconv.Itoa(MaxDepth)+" deep")
	}
	n := &node{name: t.Name.Local, space: t.Name.Space, parent: p.cur}
	for i, a := range t.Attr {
		for _, b := range t.Attr[:i] {
			if a.Name == b.Name {
				return p.at(xmlFault("xml-syntax", "an attribute is given twice"))
			}
		}
		switch {
		case a.Name.Space == "xmlns", a.Name.Space == "" && a.Name.Local == "xmlns":
		case a.Name.Space == schemaInstance && a.Name.Local == "schemaLocation" && p.cur == nil:
		case a.Name.Space == "" && a.Name.Local == "Ccy":
			n.ccy, n.hasCcy = a.Value, true
		case n.alien == "":
			n.alien = a.Name.Local
		}
	}
	if p.cur == nil {
		p.root = n
	} else {
		p.cur.kids = append(p.cur.kids, n)
	}
	p.cur = n
	p.text.Reset()
	return nil
}

func (p *parser) end() *Fault {
	n := p.cur
	if len(n.kids) == 0 {
		n.text = p.text.String()
	}
	p.text.Reset()
	if p.split[n] && trim(n.text) != "" {
		return p.at(xmlFault("xml-split-text", "a comment stands inside a value"))
	}
	delete(p.split, n)
	p.depth--
	p.cur = n.parent
	return nil
}

func (p *parser) chars(t xml.CharData, start int64) *Fault {
	if bytes.HasPrefix(p.data[start:], []byte("<![CDATA[")) {
		return p.at(xmlFault("xml-cdata", "the message holds a CDATA section"))
	}
	if p.cur == nil {
		if trim(string(t)) != "" {
			return xmlFault("xml-trailing", "there is text outside the root element")
		}
		return nil
	}
	if len(p.cur.kids) == 0 {
		p.text.Write(t)
	} else if trim(string(t)) != "" {
		return p.mixed()
	}
	return nil
}

// mixed is text beside child elements, which no message has.
func (p *parser) mixed() *Fault {
	return p.at(&Fault{Layer: LayerSchema, Rule: "schema-text", Explanation: "there is text beside the child elements"})
}

func (p *parser) syntax(err error) *Fault {
	f := xmlFault("xml-syntax", "the file is not well-formed XML")
	var s *xml.SyntaxError
	switch {
	case errors.As(err, &s) && strings.Contains(s.Msg, "UTF-8"):
		return xmlFault("xml-encoding", "the file is not valid UTF-8")
	case errors.As(err, &s) && strings.Contains(s.Msg, "entity"):
		return xmlFault("xml-entity", "the message uses an entity other than the five of XML")
	case errors.As(err, &s):
		f.Explanation += " (line " + strconv.Itoa(s.Line) + ")"
	case strings.Contains(err.Error(), "encoding"):
		return xmlFault("xml-encoding", "the file declares an encoding other than UTF-8")
	}
	return f
}

// at says where in the document the parser stands.
func (p *parser) at(f *Fault) *Fault {
	if p.cur != nil {
		f.Path = p.cur.path()
	}
	return f
}

func xmlFault(rule, explanation string) *Fault {
	return &Fault{Layer: LayerXML, Rule: rule, Explanation: explanation}
}

// path names the element from below <Document> on: GrpHdr/MsgId, and
// TxInf[2]/Amt where there are several TxInf. Names of elements outside the
// schema come from the sender, so they are cut and cleaned.
func (n *node) path() string {
	var parts []string
	for ; n != nil && n.parent != nil; n = n.parent {
		part := cleanName(n.name)
		if i, many := n.position(); many {
			part += "[" + strconv.Itoa(i) + "]"
		}
		parts = append(parts, part)
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteString(parts[i])
		if i > 0 {
			b.WriteByte('/')
		}
	}
	return b.String()
}

func (n *node) position() (at int, many bool) {
	count := 0
	for _, k := range n.parent.kids {
		if k.name == n.name {
			count++
		}
		if k == n {
			at = count
		}
	}
	return at, count > 1
}

func cleanName(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.' {
			return r
		}
		return '?'
	}, s)
	return clean[:min(len(clean), 40)]
}
