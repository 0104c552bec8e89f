package page

import (
	"fmt"
	"html/template"
	"reflect"
	"text/template/parse"
)

// checkKeys walks a parsed page for calls of t, tt and tn with a constant key
// and reports the first that has no text.
func checkKeys(t *template.Template, texts *Texts) error {
	for _, one := range t.Templates() {
		if one.Tree == nil {
			continue
		}
		var missing string
		walk(reflect.ValueOf(one.Tree.Root), func(c *parse.CommandNode) {
			if key, ok := constantKey(c); ok && missing == "" && !known(texts, c.Args[0].String(), key) {
				missing = key
			}
		})
		if missing != "" {
			return fmt.Errorf("%s names the text %q, which does not exist", one.Name(), missing)
		}
	}
	return nil
}

func constantKey(c *parse.CommandNode) (string, bool) {
	if len(c.Args) < 2 {
		return "", false
	}
	f, ok := c.Args[0].(*parse.IdentifierNode)
	if !ok || f.Ident != "t" && f.Ident != "tt" && f.Ident != "tn" {
		return "", false
	}
	s, ok := c.Args[1].(*parse.StringNode)
	if !ok {
		return "", false
	}
	return s.Text, true
}

func known(texts *Texts, function, key string) bool {
	if function == "tn" {
		return texts.Has(key+".one") && texts.Has(key+".other")
	}
	return texts.Has(key)
}

var commandType = reflect.TypeFor[*parse.CommandNode]()

// walk visits every command of a tree. The tree's types are many and their
// shape is plain, so it goes by reflection over exported fields.
func walk(v reflect.Value, visit func(*parse.CommandNode)) {
	switch v.Kind() {
	case reflect.Interface:
		walk(v.Elem(), visit)
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if v.Type() == commandType {
			visit(v.Interface().(*parse.CommandNode))
		}
		walk(v.Elem(), visit)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				walk(v.Field(i), visit)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), visit)
		}
	}
}
