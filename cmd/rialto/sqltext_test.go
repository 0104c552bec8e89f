package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

// sqlWords make a string literal look like a piece of SQL.
var sqlWords = regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|WHERE|VALUES|ORDER BY|GROUP BY|LIMIT|UNION|RETURNING|FROM|AND|OR|SET|JOIN|PRAGMA|CREATE|DROP|ALTER)\b` +
	`|(?i)\b(select\s.+\sfrom\s|insert\s+into\s|delete\s+from\s|update\s+\w+\s+set\s)`)

// constantFields are struct fields that may stand in SQL, because only
// constants are ever put into them.
var constantFields = map[string]string{
	"forUpdate": "one of two constants, per database",
}

// TestSQLIsMadeOfConstants: C40. No SQL text is put together from anything but
// constants of the same package; values go by placeholders. Every file of the
// program is parsed, so that a change anywhere counts.
func TestSQLIsMadeOfConstants(t *testing.T) {
	t.Parallel()
	root := testkit.Root(t)
	rooms := map[string][]*ast.File{}
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "testkit" || strings.HasPrefix(d.Name(), ".")) { // test code makes schemas
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		rooms[filepath.Dir(path)] = append(rooms[filepath.Dir(path)], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pieces := 0
	for _, files := range rooms {
		r := readSources(files)
		for _, at := range r.unsafeSQL() {
			t.Errorf("%s: SQL is made of something that is no constant", strings.TrimPrefix(set.Position(at).String(), root+"/"))
		}
		pieces += r.pieces
	}
	if pieces < 30 {
		t.Errorf("only %d places where SQL is put together were looked at", pieces)
	}
}

// TestSQLTestSeesWhatItMustSee: C40, the test of the test above.
func TestSQLTestSeesWhatItMustSee(t *testing.T) {
	t.Parallel()
	for body, bad := range map[string]bool{
		"db.Get(`SELECT 1 WHERE id = ?`, id)":                               false,
		"db.Get(`SELECT `+columns+` FROM t WHERE id = ?`, id)":              false,
		"q := columns + ` WHERE a = ?`; q += ` AND b = ?`; db.Get(q)":       false,
		"db.Get(`SELECT 1 WHERE id IN (?` + strings.Repeat(`,?`, n) + `)`)": false,
		"add(` AND b = ?`)":                                                                         false,
		"db.Get(`SELECT 1 WHERE id = '` + id + `'`)":                                                true,
		"db.Get(fmt.Sprintf(`SELECT 1 WHERE id = '%s'`, id))":                                       true,
		"db.Get(fmt.Sprintf(`SELECT 1 FROM t ORDER BY %s`, id))":                                    true,
		"db.Get(strings.ReplaceAll(`SELECT 1 WHERE id = $`, `$`, id))":                              true,
		"q := `SELECT 1 FROM t`; q += ` ORDER BY ` + id; db.Get(q)":                                 true,
		"q := `SELECT 1 FROM t`; q += id; db.Get(q)":                                                true,
		"q := id; db.Get(`SELECT 1 WHERE ` + q)":                                                    true,
		"var b strings.Builder; b.WriteString(`SELECT 1 WHERE a = `); b.WriteString(id); db.Get(b)": true,
		"db.Get(strings.Join([]string{`SELECT 1 FROM t WHERE a =`, id}, ` `))":                      true,
		"db.Get(`select a from t where b = ` + id)":                                                 true,
		"add(id)": true,
	} {
		source := "package p\nconst columns = `a, b`\nvar db, strings, fmt any\nfunc add(more string) { db.Get(`SELECT 1 WHERE a = ?` + more) }\n" +
			"func g() { add(` AND c = ?`) }\nfunc f(id string, n int) {\n" + body + "\n}\n"
		file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(readSources([]*ast.File{file}).unsafeSQL()) > 0; got != bad {
			t.Errorf("%s: found %v", body, got)
		}
	}
}

// argument is what a call gives, and the function the call stands in.
type argument struct {
	value ast.Expr
	in    ast.Decl
}

// sources is what one package says about its names.
type sources struct {
	files   []*ast.File
	globals map[string][]ast.Expr // package constants and variables: what is assigned
	params  map[string][]argument // "func/parameter": what calls give
	pieces  int
}

func readSources(files []*ast.File) *sources {
	r := &sources{files: files, globals: map[string][]ast.Expr{}, params: map[string][]argument{}}
	funcs := map[string]*ast.FuncType{}
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok {
						assign(r.globals, v)
					}
				}
			case *ast.FuncDecl:
				funcs[d.Name.Name] = d.Type
				ast.Inspect(d, func(n ast.Node) bool {
					if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == len(a.Rhs) {
						for i, l := range a.Lhs {
							if id, ok := l.(*ast.Ident); ok {
								if fn, ok := a.Rhs[i].(*ast.FuncLit); ok {
									funcs[id.Name] = fn.Type
								}
							}
						}
					}
					return true
				})
			}
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			ast.Inspect(d, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					r.noteCall(call, funcs[nameOf(call.Fun)], d)
				}
				return true
			})
		}
	}
	return r
}

func (r *sources) noteCall(call *ast.CallExpr, fn *ast.FuncType, in ast.Decl) {
	if fn == nil {
		return
	}
	for i, p := range parameters(fn) {
		if i < len(call.Args) {
			key := nameOf(call.Fun) + "/" + p
			r.params[key] = append(r.params[key], argument{call.Args[i], in})
		}
	}
}

func assign(to map[string][]ast.Expr, v *ast.ValueSpec) {
	for i, name := range v.Names {
		if i < len(v.Values) {
			to[name.Name] = append(to[name.Name], v.Values[i])
		}
	}
}

func nameOf(fun ast.Expr) string {
	switch f := fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func parameters(fn *ast.FuncType) (names []string) {
	for _, field := range fn.Params.List {
		for _, n := range field.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

// scope is one function: what its names may hold.
type scope struct {
	*sources
	locals map[string][]ast.Expr
	params map[string]string // name → key in sources.params
	decl   ast.Decl
	asking map[question]bool // what is being found out, against going in circles
}

type question struct {
	in   ast.Decl
	name string
}

func (r *sources) scope(d ast.Decl) *scope {
	s := &scope{sources: r, locals: map[string][]ast.Expr{}, params: map[string]string{}, decl: d, asking: map[question]bool{}}
	s.learn(d)
	return s
}

// unsafeSQL lists the places where SQL text is put together from what is not
// constant.
func (r *sources) unsafeSQL() (bad []token.Pos) {
	for _, f := range r.files {
		for _, d := range f.Decls {
			s := r.scope(d)
			sqlNames := map[string]bool{} // variables and builders that hold SQL
			ast.Inspect(d, func(n ast.Node) bool {
				if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == len(a.Rhs) {
					for i := range a.Lhs {
						if id, ok := a.Lhs[i].(*ast.Ident); ok && isSQL(a.Rhs[i]) {
							sqlNames[id.Name] = true
						}
					}
				}
				if recv, ok := writes(n); ok && isSQL(n.(*ast.CallExpr).Args[0]) {
					sqlNames[recv] = true
				}
				return true
			})
			ast.Inspect(d, func(n ast.Node) bool {
				if at, ok := s.violates(n, sqlNames); ok {
					bad = append(bad, at)
				}
				return true
			})
		}
	}
	return bad
}

// learn collects what the names within a declaration may hold.
func (s *scope) learn(d ast.Decl) {
	take := func(name string, fn *ast.FuncType) {
		for _, p := range parameters(fn) {
			s.params[p] = name + "/" + p
		}
	}
	if f, ok := d.(*ast.FuncDecl); ok {
		take(f.Name.Name, f.Type)
	}
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			assign(s.locals, n)
		case *ast.AssignStmt:
			for i, l := range n.Lhs {
				id, ok := l.(*ast.Ident)
				if !ok {
					continue
				}
				if len(n.Lhs) != len(n.Rhs) {
					s.locals[id.Name] = append(s.locals[id.Name], nil) // a call's results: not constant
					continue
				}
				if fn, ok := n.Rhs[i].(*ast.FuncLit); ok {
					take(id.Name, fn.Type)
				}
				s.locals[id.Name] = append(s.locals[id.Name], n.Rhs[i])
			}
		}
		return true
	})
}

// violates judges one node.
func (s *scope) violates(n ast.Node, sqlNames map[string]bool) (token.Pos, bool) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op == token.ADD && isSQL(n) {
			s.pieces++
			return n.Pos(), !s.constant(n)
		}
	case *ast.AssignStmt:
		if id, ok := n.Lhs[0].(*ast.Ident); ok && n.Tok == token.ADD_ASSIGN && sqlNames[id.Name] {
			s.pieces++
			return n.Pos(), !s.constant(n.Rhs[0])
		}
	case *ast.CallExpr:
		if recv, ok := writes(n); ok && sqlNames[recv] {
			return n.Pos(), !s.constant(n.Args[0])
		}
		if sel, ok := n.Fun.(*ast.SelectorExpr); ok {
			pkg, _ := sel.X.(*ast.Ident)
			builds := pkg != nil && (pkg.Name == "fmt" && strings.Contains(sel.Sel.Name, "rint") || pkg.Name == "strings" && (strings.HasPrefix(sel.Sel.Name, "Replace") || sel.Sel.Name == "Join"))
			for _, a := range n.Args {
				if builds && isSQL(a) {
					return n.Pos(), true
				}
			}
		}
	}
	return 0, false
}

// writes finds x in x.WriteString(…).
func writes(n ast.Node) (recv string, ok bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return "", false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "WriteString" {
		return "", false
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", false
	}
	return id.Name, true
}

// isSQL reports whether an expression holds a literal that looks like SQL.
func isSQL(e ast.Node) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok {
			return false
		}
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			found = found || err == nil && sqlWords.MatchString(text)
		}
		return !found
	})
	return found
}

// constant reports whether an expression can only be a constant of the
// package.
func (s *scope) constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.ParenExpr:
		return s.constant(e.X)
	case *ast.BinaryExpr:
		return e.Op == token.ADD && s.constant(e.X) && s.constant(e.Y)
	case *ast.SelectorExpr:
		return constantFields[e.Sel.Name] != ""
	case *ast.CallExpr:
		switch nameOf(e.Fun) {
		case "Repeat", "TrimSuffix":
			return s.constant(e.Args[0])
		}
		return false
	case *ast.Ident:
		return s.constantName(e.Name)
	}
	return false
}

func (s *scope) constantName(name string) bool {
	q := question{s.decl, name}
	if s.asking[q] {
		return true // q = q + …: the rest decides
	}
	s.asking[q] = true
	defer delete(s.asking, q)
	values, local := s.locals[name]
	if key, isParam := s.params[name]; isParam {
		given := s.sources.params[key]
		if len(given) == 0 {
			return false // nobody in the package gives it: it comes from outside
		}
		for _, a := range given {
			caller := s.sources.scope(a.in)
			caller.asking = s.asking
			if !caller.constant(a.value) {
				return false
			}
		}
	} else if !local {
		values = s.globals[name]
		local = len(values) > 0
	} else if len(values) == 0 {
		return false
	}
	for _, v := range values {
		if v == nil || !s.constant(v) {
			return false
		}
	}
	return local || s.params[name] != ""
}
