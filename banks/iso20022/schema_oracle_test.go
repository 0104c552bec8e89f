package iso20022

import (
	"encoding/xml"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

// This file proves our notation of the schemas against the official ones, in
// two ways: the notation must have the same elements, types and limits, and
// documents made from it at random, some of them spoilt, must get the same
// verdict from us and from xmllint.

// values gives texts for the leaf types: right ones first, then wrong ones.
var values = map[string][2][]string{
	"bool":      {{"true", "0", " false "}, {"yes", ""}},
	"date":      {{"2026-11-21", "2024-02-29", "2026-11-21Z"}, {"2026-02-30", "21.11.2026", "2026-13-01"}},
	"dateTime":  {{"2026-11-21T20:15:30Z", "2026-11-21T20:15:30.123+01:00", "2026-11-21T20:15:30"}, {"2026-11-21", "2026-11-21T25:00:00Z", "2026-11-21 20:15:30"}},
	"time":      {{"20:15:30Z", "20:15:30"}, {"20:15", "26:00:00"}},
	"yearMonth": {{"2026-11"}, {"2026-13", "2026"}},
	"amount":    {{"0", "123.50", "0.12345", "+1.5", ".5", "123456789012345678"}, {"-1", "1.123456", "1e3", "1,5", "", "1234567890123456789"}},
	"money":     {{"0.00", "123.50", "1.500000000"}, {"-0.01", "0.000001", "12 34"}},
	"money13":   {{"0.1234567890123"}, {"0.12345678901234"}},
	"d18.17":    {{"-1.5", "0.12345678901234567"}, {"0.123456789012345678", "x"}},
	"d18.17+":   {{"1.5"}, {"-1.5"}},
	"d18.0":     {{"42", "-1", "42.0"}, {"4.2"}},
	"d11.10":    {{"1.0000000001", "12345678901"}, {"123456789012", "0.00000000001"}},
	"alnum4":    {{"Ab12"}, {"Ab-1", "abcde"}},
	"bic":       {{"COBADEFF", "ABNANL2AXXX", "1234DE2A"}, {"COBADEF", "cobadeff", "COBADEFFXX"}},
	"ccy":       {{"EUR"}, {"eur", "EURO"}},
	"country":   {{"DE"}, {"de", "DEU"}},
	"iban":      {{"DE89370400440532013000", "NL91abna0417164300"}, {"de89370400440532013000", "DE8937040044053201300000000000000000", "DE89 3704"}},
	"isin":      {{"US0378331005"}, {"US037833100X"}},
	"language":  {{"de"}, {"DE"}},
	"lei":       {{"529900T8BM49AURSDO55"}, {"529900T8BM49AURSDO5X"}},
	"phone":     {{"+49-301234567"}, {"030 1234567"}},
	"signed15":  {{"+5", "12"}, {"-5"}},
	"uuid4":     {{"0d7a9c1e-54c2-4b8e-9f30-2b7c51d2a944"}, {"0D7A9C1E-54C2-4B8E-9F30-2B7C51D2A944", "0d7a9c1e-54c2-1b8e-9f30-2b7c51d2a944"}},
}

type maker struct {
	r     *rand.Rand
	spoil int // counts down to the leaf or element that is spoilt; below 0: none
	size  int
}

// leafText makes a text of that type; wrong when it is the one to spoil.
func (m *maker) leafText(t *typ, wrong bool) string {
	pickFrom := func(list []string) string { return list[m.r.IntN(len(list))] }
	if v, ok := values[t.name]; ok {
		if wrong {
			return pickFrom(v[1])
		}
		return pickFrom(v[0])
	}
	if sized := sizedType.FindStringSubmatch(t.name); sized != nil && sized[3] != "" {
		least, _ := strconv.Atoi(sized[3])
		if wrong {
			return strings.Repeat("7", least-1) + "x"
		}
		return strings.Repeat("7", least)
	} else if sized != nil && sized[1] != "" {
		most, _ := strconv.Atoi(sized[2])
		switch {
		case wrong && m.r.IntN(2) == 0:
			return ""
		case wrong:
			return strings.Repeat("ü", most+1)
		}
		return strings.Repeat("ü", []int{1, min(most, 3), most}[m.r.IntN(3)])
	}
	if codes := strings.TrimPrefix(t.lex.expects, "one of "); codes != t.lex.expects {
		if wrong {
			return "NONE"
		}
		return pickFrom(strings.Split(codes, ", "))
	}
	panic("no value for type " + t.name)
}

func (m *maker) element(b *strings.Builder, tag string, t *typ, depth int) {
	m.size++
	spoilt := m.spoil == 0
	m.spoil--
	ccy := ""
	if t.lex != nil && t.lex.money {
		ccy = ` Ccy="EUR"`
		if spoilt && m.r.IntN(3) == 0 {
			ccy, spoilt = [...]string{"", ` Ccy="EURO"`, ` Ccy="EUR" x="1"`}[m.r.IntN(3)], false
		}
	}
	fmt.Fprintf(b, "<%s%s>", tag, ccy)
	switch {
	case t.name == "any":
	case t.lex != nil:
		b.WriteString(m.leafText(t, spoilt))
	default:
		m.content(b, t, depth, spoilt)
	}
	fmt.Fprintf(b, "</%s>", tag)
}

type child struct {
	tag string
	t   *typ
}

func (m *maker) content(b *strings.Builder, t *typ, depth int, spoilt bool) {
	var kids []child
	add := func(p particle, n int) {
		for range n {
			kids = append(kids, child{p.tag, p.typ})
		}
	}
	if t.choice {
		p := t.kids[m.r.IntN(len(t.kids))]
		add(p, 1+m.extra(p, 1, depth))
	} else {
		for _, p := range t.kids {
			add(p, p.least+m.extra(p, p.least, depth))
		}
	}
	if spoilt {
		kids = m.disorder(kids, t)
	}
	for _, k := range kids {
		m.element(b, k.tag, k.t, depth+1)
	}
}

// extra is how often an optional child occurs beyond its minimum: seldom deep
// down or in a large document, so that documents stay small.
func (m *maker) extra(p particle, have, depth int) int {
	room := 2
	if p.most >= 0 {
		room = p.most - have
	}
	if room <= 0 || m.r.IntN(2+depth+m.size/40) > 1 {
		return 0
	}
	return 1 + m.r.IntN(min(room, 2))
}

// disorder breaks a list of children in one of the ways that a list can be
// broken. The result may happen to be valid: xmllint decides.
func (m *maker) disorder(kids []child, t *typ) []child {
	at := 0
	if len(kids) > 0 {
		at = m.r.IntN(len(kids))
	}
	other := t.kids[m.r.IntN(len(t.kids))]
	insert := func(k child) []child {
		return append(append(append([]child{}, kids[:at]...), k), kids[at:]...)
	}
	switch m.r.IntN(5) {
	case 0:
		return insert(child{other.tag, other.typ})
	case 1:
		return insert(child{"Bogus", &typ{name: "t35", lex: textType(35)}})
	case 2:
		if len(kids) > 0 {
			return append(append([]child{}, kids[:at]...), kids[at+1:]...)
		}
	case 3:
		if len(kids) > 1 {
			m.r.Shuffle(len(kids), func(i, j int) { kids[i], kids[j] = kids[j], kids[i] })
		}
	case 4:
		if len(kids) > 0 {
			return insert(kids[at])
		}
	}
	return kids
}

func (m *maker) document(message string) []byte {
	t := theSchema().messages[message]
	var b strings.Builder
	fmt.Fprintf(&b, `<Document xmlns="%s%s">`, namespacePrefix, message)
	m.element(&b, t.kids[0].tag, t.kids[0].typ, 0)
	b.WriteString("</Document>")
	return []byte(b.String())
}

func TestOurSchemaAgreesWithTheOfficialOne(t *testing.T) {
	const perMessage = 250
	seed := uint64(20261120)
	t.Logf("seed %d", seed)
	for number, message := range slices.Sorted(maps.Keys(theSchema().messages)) {
		t.Run(message, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, uint64(number)))
			var docs [][]byte
			for i := range perMessage {
				m := &maker{r: r, spoil: -1}
				if i%3 > 0 {
					m.spoil = r.IntN(60)
				}
				docs = append(docs, m.document(message))
			}
			count := map[bool]int{}
			for i, valid := range lint(t, message, docs) {
				d, f := open(docs[i], Strict)
				count[valid]++
				if valid != (f == nil) {
					t.Errorf("xmllint says valid=%t, we say %v:\n%s", valid, f, docs[i])
				}
				if f == nil && valid && d.message != message {
					t.Errorf("taken for a %s", d.message)
				}
			}
			if count[true] < perMessage/3 || count[false] < perMessage/5 {
				t.Errorf("only %d valid and %d invalid documents: the test has lost its teeth", count[true], count[false])
			}
		})
	}
}

// The parts of an XML Schema that the official files use.
type (
	xsdFile struct {
		Complex []xsdComplex `xml:"complexType"`
		Simple  []xsdSimple  `xml:"simpleType"`
	}
	xsdComplex struct {
		Name     string       `xml:"name,attr"`
		Sequence []xsdElement `xml:"sequence>element"`
		Choice   []xsdElement `xml:"choice>element"`
		Any      []struct{}   `xml:"sequence>any"`
		Base     struct {
			Name string `xml:"base,attr"`
		} `xml:"simpleContent>extension"`
	}
	xsdElement struct {
		Name string `xml:"name,attr"`
		Type string `xml:"type,attr"`
		Min  string `xml:"minOccurs,attr"`
		Max  string `xml:"maxOccurs,attr"`
	}
	xsdSimple struct {
		Name        string `xml:"name,attr"`
		Restriction struct {
			Base    string     `xml:"base,attr"`
			Pattern []xsdFacet `xml:"pattern"`
			Enum    []xsdFacet `xml:"enumeration"`
			MinLen  []xsdFacet `xml:"minLength"`
			MaxLen  []xsdFacet `xml:"maxLength"`
			Total   []xsdFacet `xml:"totalDigits"`
			Frac    []xsdFacet `xml:"fractionDigits"`
			Least   []xsdFacet `xml:"minInclusive"`
		} `xml:"restriction"`
	}
	xsdFacet struct {
		Value string `xml:"value,attr"`
	}
)

func TestOurNotationHasEveryElementOfTheOfficialSchemas(t *testing.T) {
	for message, document := range theSchema().messages {
		var file xsdFile
		if err := xml.Unmarshal(testkit.ReadStandard(t, "iso20022-xsd", message+".xsd"), &file); err != nil {
			t.Fatal(err)
		}
		c := &comparison{t: t, complex: map[string]xsdComplex{}, simple: map[string]xsdSimple{}, done: map[string]bool{}}
		for _, x := range file.Complex {
			c.complex[x.Name] = x
		}
		for _, x := range file.Simple {
			c.simple[x.Name] = x
		}
		c.types("Document", document)
		if len(c.done) < len(file.Complex)-4 { // all but the amounts, which are leaves to us
			t.Errorf("%s: only %d of %d types compared", message, len(c.done), len(file.Complex))
		}
	}
}

type comparison struct {
	t       *testing.T
	complex map[string]xsdComplex
	simple  map[string]xsdSimple
	done    map[string]bool
}

func (c *comparison) types(name string, ours *typ) {
	x, ok := c.complex[name]
	if !ok || x.Base.Name != "" {
		c.leaf(name, x, ours)
		return
	}
	if c.done[name] {
		return
	}
	c.done[name] = true
	theirs := append(x.Sequence, x.Choice...)
	if len(x.Any) > 0 {
		theirs = append(theirs, xsdElement{Name: "any"})
	}
	if ours.choice != (len(x.Choice) > 0) || len(ours.kids) != len(theirs) {
		c.t.Errorf("%s: %d children, choice %t; officially %d", name, len(ours.kids), ours.choice, len(theirs))
		return
	}
	for i, e := range theirs {
		k := ours.kids[i]
		least, most := 1, 1
		if e.Min != "" {
			least, _ = strconv.Atoi(e.Min)
		}
		if e.Max == "unbounded" {
			most = -1
		} else if e.Max != "" {
			most, _ = strconv.Atoi(e.Max)
		}
		if k.tag != e.Name || k.least != least || k.most != most {
			c.t.Errorf("%s: child %d is %s %d..%d, officially %s %d..%d", name, i, k.tag, k.least, k.most, e.Name, least, most)
		} else if e.Name != "any" {
			c.types(e.Type, k.typ)
		}
	}
}

// leaf compares limits by the name that our notation must have for them.
func (c *comparison) leaf(name string, x xsdComplex, ours *typ) {
	if x.Base.Name != "" {
		name = x.Base.Name
	}
	r := c.simple[name].Restriction
	want := ""
	switch r.Base {
	case "xs:boolean":
		want = "bool"
	case "xs:date", "xs:dateTime", "xs:time":
		want = strings.TrimPrefix(r.Base, "xs:")
	case "xs:gYearMonth":
		want = "yearMonth"
	case "xs:decimal":
		want = "d" + r.Total[0].Value + "." + r.Frac[0].Value
		if len(r.Least) > 0 {
			want += "+"
		}
		want = strings.Replace(want, "d18.5+", "amount", 1)
		if x.Base.Name != "" {
			want = map[string]string{"amount": "money", "d18.13+": "money13"}[want]
		}
	case "xs:string":
		want = c.text(name, ours)
	default:
		c.t.Errorf("%s: restriction of %q", name, r.Base)
		return
	}
	if ours.name != want || ours.lex == nil {
		c.t.Errorf("%s: ours is %s, want %s", name, ours.name, want)
	}
}

func (c *comparison) text(name string, ours *typ) string {
	r := c.simple[name].Restriction
	switch {
	case len(r.MaxLen) > 0 && strings.HasPrefix(name, "External"):
		return "c" + r.MaxLen[0].Value
	case len(r.MaxLen) > 0:
		return "t" + r.MaxLen[0].Value
	case len(r.Enum) > 0:
		var codes []string
		for _, e := range r.Enum {
			codes = append(codes, e.Value)
		}
		if want := "one of " + strings.Join(codes, ", "); ours.lex == nil || ours.lex.expects != want {
			c.t.Errorf("%s: want %s", name, want)
		}
		return name
	}
	// Patterns may be written in two ways: compare what they let pass.
	official := regexp.MustCompile("^(?:" + r.Pattern[0].Value + ")$")
	tries := []string{"", "7", "77", "777", "7777", "77777", "777777", strings.Repeat("7", 15), strings.Repeat("7", 16), strings.Repeat("7", 28), strings.Repeat("7", 29)}
	for _, v := range values {
		tries = append(append(tries, v[0]...), v[1]...)
	}
	for _, s := range tries {
		if ours.lex == nil || ours.lex.ok(s) != official.MatchString(s) {
			c.t.Errorf("%s and our %s differ on %q", name, ours.name, s)
			return ours.name
		}
	}
	return ours.name
}
