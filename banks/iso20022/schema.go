package iso20022

import (
	"embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// particle is one child that a type may have.
type particle struct {
	tag         string
	least, most int // most < 0: any number
	typ         *typ
}

// typ is one type of the schema: a sequence or a choice of children, a leaf
// with a lexical form, or (all empty) foreign content.
type typ struct {
	name   string
	kids   []particle
	choice bool
	lex    *lexical
}

func (t *typ) kid(tag string) int {
	for i := range t.kids {
		if t.kids[i].tag == tag {
			return i
		}
	}
	return -1
}

// schema is the parsed notation of the folder schema.
type schema struct {
	types    map[string]*typ
	messages map[string]*typ // by message name: the type of <Document>
}

//go:embed schema/*.txt
var schemaFiles embed.FS

// theSchema parses the embedded notation once. A fault in it is ours and
// shows in every test, so it panics.
var theSchema = sync.OnceValue(func() *schema {
	s := &schema{types: map[string]*typ{}, messages: map[string]*typ{}}
	files, err := schemaFiles.ReadDir("schema")
	if err != nil {
		panic("iso20022: " + err.Error())
	}
	for _, f := range files {
		text, err := schemaFiles.ReadFile("schema/" + f.Name())
		if err != nil {
			panic("iso20022: " + err.Error())
		}
		if err := s.read(string(text)); err != nil {
			panic("iso20022: " + f.Name() + ": " + err.Error())
		}
	}
	for name, t := range s.types {
		if t.kids == nil && t.lex == nil && name != "any" {
			panic("iso20022: type " + name + " is used but not defined")
		}
	}
	return s
})

func (s *schema) read(text string) error {
	var line string
	for _, l := range append(strings.Split(text, "\n"), "") {
		if strings.HasPrefix(l, " ") { // goes on from the line above
			line += " " + strings.TrimSpace(l)
			continue
		}
		if err := s.define(line); err != nil {
			return err
		}
		line = l
	}
	return nil
}

func (s *schema) define(line string) error {
	f := strings.Fields(line)
	switch {
	case len(f) == 0 || strings.HasPrefix(line, "#"):
		return nil
	case f[0] == "message" && len(f) == 4:
		s.messages[f[1]] = &typ{name: "Document", kids: []particle{{tag: f[2], least: 1, most: 1, typ: s.typ(f[3])}}}
		return nil
	case len(f) < 3:
		return fmt.Errorf("cannot read %q", line)
	}
	t := s.typ(f[0])
	switch f[1] {
	case ":":
		t.lex = codeType(f[2:])
	case "~":
		t.lex = patternType(f[2])
	case "=", "|":
		t.choice = f[1] == "|"
		for _, p := range f[2:] {
			if p == "any" {
				t.kids = append(t.kids, particle{tag: "any", least: 1, most: 1, typ: s.typ("any")})
				continue
			}
			k, err := s.particle(p)
			if err != nil {
				return err
			}
			t.kids = append(t.kids, k)
		}
	default:
		return fmt.Errorf("cannot read %q", line)
	}
	return nil
}

var particleForm = regexp.MustCompile(`^(\w+)([?*+]|\{(\d+)\})?:([\w.+-]+)$`)

func (s *schema) particle(p string) (particle, error) {
	m := particleForm.FindStringSubmatch(p)
	if m == nil {
		return particle{}, fmt.Errorf("cannot read %q", p)
	}
	k := particle{tag: m[1], least: 1, most: 1, typ: s.typ(m[4])}
	switch m[2] {
	case "":
	case "?":
		k.least = 0
	case "*":
		k.least, k.most = 0, -1
	case "+":
		k.most = -1
	default:
		k.least = 0
		k.most, _ = strconv.Atoi(m[3])
	}
	return k, nil
}

// typ returns the type of that name, making it (to be defined further on) on
// first sight.
func (s *schema) typ(name string) *typ {
	if t := s.types[name]; t != nil {
		return t
	}
	t := &typ{name: name, lex: builtin(name)}
	s.types[name] = t
	return t
}
