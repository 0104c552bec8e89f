package page

import (
	"html/template"
	"strings"
	"text/template/parse"
)

// fold replaces calls with constant arguments by what they give: texts in the
// page's one language, and addresses of assets. A page has dozens of them, and
// they are the same for every reader. Only plain characters are folded, which
// mean the same in text and in attributes, so escaping has nothing to add.
func (s *Set) fold(l Lang, t *template.Template) {
	for _, one := range t.Templates() {
		if one.Tree != nil && one.Tree.Root != nil {
			s.foldList(l, one.Tree.Root)
		}
	}
}

func (s *Set) foldList(l Lang, list *parse.ListNode) {
	if list == nil {
		return
	}
	for i, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.ActionNode:
			if text, ok := s.constant(l, n.Pipe); ok {
				list.Nodes[i] = &parse.TextNode{NodeType: parse.NodeText, Pos: n.Pos, Text: []byte(text)}
			}
		case *parse.IfNode:
			s.foldList(l, n.List)
			s.foldList(l, n.ElseList)
		case *parse.WithNode:
			s.foldList(l, n.List)
			s.foldList(l, n.ElseList)
		case *parse.RangeNode:
			s.foldList(l, n.List)
			s.foldList(l, n.ElseList)
		}
	}
}

// constant evaluates {{t "key"}}, {{tt "key"}}, {{asset "name"}} and {{lang}}.
func (s *Set) constant(l Lang, p *parse.PipeNode) (text string, ok bool) {
	if len(p.Decl) > 0 || len(p.Cmds) != 1 {
		return "", false
	}
	args := p.Cmds[0].Args
	name, isName := args[0].(*parse.IdentifierNode)
	if !isName {
		return "", false
	}
	if name.Ident == "lang" && len(args) == 1 {
		return string(l), true
	}
	if len(args) != 2 {
		return "", false
	}
	arg, isString := args[1].(*parse.StringNode)
	if !isString {
		return "", false
	}
	var err error
	switch name.Ident {
	case "t", "tt":
		text, err = s.texts.Text(l, arg.Text)
	case "asset":
		text, err = s.AssetURL(arg.Text)
	default:
		return "", false
	}
	return text, err == nil && !strings.ContainsAny(text, "<>&\"'`\u00a0+")
}
