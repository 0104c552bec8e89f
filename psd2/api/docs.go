package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/page"
)

//go:embed openapi.yaml
var contractYAML []byte

//go:embed docs
var docsFiles embed.FS

// Contract is openapi.yaml as it is served.
func Contract() []byte { return bytes.Clone(contractYAML) }

// docs serves the contract, as it is and as a page. The page is made once.
type docs struct {
	html   []byte
	style  []byte
	assets http.Handler
}

func newDocs(publicURL string, provider page.Provider) (*docs, error) {
	content, err := readContract(contractYAML)
	if err != nil {
		return nil, fmt.Errorf("api: openapi.yaml: %w", err)
	}
	content.URL = publicURL
	if content.Example, err = signingExample(); err != nil {
		return nil, fmt.Errorf("api: signing example: %w", err)
	}
	files, err := fs.Sub(docsFiles, "docs")
	if err != nil {
		return nil, fmt.Errorf("api: docs: %w", err)
	}
	for name, file := range map[string]string{"Node": "receivers/receiver.mjs", "PHP": "receivers/receiver.php"} {
		code, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, fmt.Errorf("api: docs: %w", err)
		}
		content.Receivers = append(content.Receivers, property{Name: name, Description: string(code)})
	}
	slices.SortFunc(content.Receivers, func(a, b property) int { return strings.Compare(a.Name, b.Name) })
	set, err := page.New(page.Room{Files: files, Provider: provider, Funcs: template.FuncMap{"anchor": anchor}})
	if err != nil {
		return nil, fmt.Errorf("api: docs: %w", err)
	}
	d := &docs{assets: set.Assets()}
	if d.style, err = fs.ReadFile(files, "style.css"); err != nil {
		return nil, fmt.Errorf("api: docs: %w", err)
	}
	d.html, err = set.HTML(page.Page{Name: "docs", Title: content.Info.Title, Lang: page.English, Layout: "wide", Data: content})
	if err != nil {
		return nil, fmt.Errorf("api: docs: %w", err)
	}
	return d, nil
}

// anchor makes a fragment of a path or a name.
func anchor(s string) string {
	return strings.Trim(strings.NewReplacer("/", "-", "{", "", "}", "", ".", "-").Replace(strings.ToLower(s)), "-")
}

func (d *docs) contract(c echo.Context) error { return send(c, "application/yaml", contractYAML) }

func (d *docs) page(c echo.Context) error {
	page.Headers(c.Response().Header())
	return send(c, "text/html; charset=utf-8", d.html)
}

func (d *docs) css(c echo.Context) error { return send(c, "text/css; charset=utf-8", d.style) }

// send answers with something public that changes with a release only.
func send(c echo.Context, contentType string, body []byte) error {
	c.Response().Header().Set("Cache-Control", "public, max-age=300")
	return c.Blob(http.StatusOK, contentType, body)
}

// contract is what the page shows of openapi.yaml, in the file's order.
type contract struct {
	URL     string
	Info    struct{ Title, Summary, Description string }
	Tags    []tag
	Schemas []schema
	Hooks   []operation
	Scopes  []property
	Errors  []problemRow
	Example *example

	Receivers []property // whole programs, by language
}

type tag struct {
	Name, Description string
	Operations        []operation
}

type operation struct {
	Method, Path, Summary, Description string
	Scope                              string
	Parameters                         []property
	Body                               string // schema's name
	Answers                            []answerRow
}

type answerRow struct{ Status, Description, Schema string }

type problemRow struct {
	Status int    `yaml:"status"`
	Code   string `yaml:"code"`
	Text   string `yaml:"text"`
}

type schema struct {
	Name, Description string
	Properties        []property
	Values            []string
}

type property struct {
	Name, Kind, Description string
	Required                bool
}

func readContract(raw []byte) (*contract, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(raw, &root); err != nil {
		return nil, err
	}
	doc := view{root.Content[0]}
	out := &contract{}
	out.Info.Title, out.Info.Summary, out.Info.Description = doc.text("info", "title"), doc.text("info", "summary"), doc.text("info", "description")
	for _, t := range doc.at("tags").items() {
		out.Tags = append(out.Tags, tag{Name: t.text("name"), Description: t.text("description")})
	}
	doc.at("paths").each(func(path string, methods view) {
		methods.each(func(method string, op view) {
			for i := range out.Tags {
				if out.Tags[i].Name == op.at("tags").items()[0].node.Value {
					out.Tags[i].Operations = append(out.Tags[i].Operations, doc.operation(strings.ToUpper(method), path, op))
				}
			}
		})
	})
	doc.at("webhooks").each(func(name string, methods view) {
		out.Hooks = append(out.Hooks, doc.operation("POST", name, methods.at("post")))
	})
	doc.at("components", "schemas").each(func(name string, s view) { out.Schemas = append(out.Schemas, doc.schema(name, s)) })
	doc.at("components", "securitySchemes", "token", "flows", "clientCredentials", "scopes").each(func(name string, s view) {
		out.Scopes = append(out.Scopes, property{Name: name, Description: s.node.Value})
	})
	return out, doc.at("x-problems").node.Decode(&out.Errors)
}

func (v view) operation(method, path string, op view) operation {
	out := operation{Method: method, Path: path, Summary: op.text("summary"), Description: op.text("description")}
	if needs := op.at("security").items(); len(needs) > 0 {
		out.Scope = needs[0].at("token").items()[0].node.Value
	}
	for _, p := range op.at("parameters").items() {
		p = v.resolve(p)
		out.Parameters = append(out.Parameters, property{
			Name: p.text("name"), Kind: p.text("in") + ", " + v.kind(p.at("schema")),
			Description: p.text("description"), Required: p.text("required") == "true",
		})
	}
	v.resolve(op.at("requestBody")).at("content").each(func(_ string, c view) { out.Body = c.at("schema").ref() })
	op.at("responses").each(func(status string, answer view) {
		answer = v.resolve(answer)
		row := answerRow{Status: status, Description: answer.text("description")}
		answer.at("content").each(func(_ string, c view) { row.Schema = c.at("schema").ref() })
		if status == "default" {
			row.Status = "error"
		}
		out.Answers = append(out.Answers, row)
	})
	return out
}

func (v view) schema(name string, s view) schema {
	out := schema{Name: name, Description: s.text("description")}
	for _, value := range s.at("enum").items() {
		out.Values = append(out.Values, value.node.Value)
	}
	required := map[string]bool{}
	for _, r := range s.at("required").items() {
		required[r.node.Value] = true
	}
	s.at("properties").each(func(key string, p view) {
		description := p.text("description")
		if description == "" {
			description = v.resolve(p).text("description")
		}
		if values := p.at("enum").items(); len(values) > 0 { // of a named type they stand with the type
			names := make([]string, len(values))
			for i, value := range values {
				names[i] = value.node.Value
			}
			description = strings.TrimSpace(description + " One of " + strings.Join(names, ", ") + ".")
		}
		out.Properties = append(out.Properties, property{Name: key, Kind: v.kind(p), Description: description, Required: required[key]})
	})
	return out
}

// kind says in a word what a schema takes.
func (v view) kind(s view) string {
	if ref := s.ref(); ref != "" {
		return ref
	}
	if one := s.at("oneOf").items(); len(one) > 0 {
		return v.kind(one[0]) + " or null"
	}
	kind := s.text("type")
	if types := s.at("type").items(); len(types) > 0 {
		kind = types[0].node.Value
	}
	if kind == "array" {
		return "list of " + v.kind(s.at("items"))
	}
	if longest := s.text("maxLength"); longest != "" {
		kind += " ≤ " + longest
	}
	return kind
}

// view reads a YAML node without caring whether things are there.
type view struct{ node *yaml.Node }

func (v view) at(path ...string) view {
	for _, name := range path {
		next := view{}
		v.each(func(key string, value view) {
			if key == name {
				next = value
			}
		})
		v = next
	}
	return v
}

func (v view) each(f func(string, view)) {
	n := v.node
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(n.Content[i].Value, view{n.Content[i+1]})
	}
}

func (v view) items() (out []view) {
	if v.node == nil || v.node.Kind != yaml.SequenceNode {
		return nil
	}
	for _, n := range v.node.Content {
		out = append(out, view{n})
	}
	return out
}

func (v view) text(path ...string) string {
	if n := v.at(path...).node; n != nil && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

func (v view) ref() string {
	ref := v.text("$ref")
	return ref[strings.LastIndexByte(ref, '/')+1:]
}

// resolve follows a reference within the document v.
func (v view) resolve(s view) view {
	if ref := s.text("$ref"); ref != "" {
		return v.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return s
}

// example is a signed request that readers can reproduce: its Ed25519 key is
// published here, is registered with nobody, and signs the same way each time.
type example struct {
	JWK, Method, Path, Key, Body, Header, Payload, SHA256, Signature string
	IssuedAt                                                         int64
}

func signingExample() (*example, error) {
	seed := sha256.Sum256([]byte("the signing example of the Rialto API documentation"))
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	key, err := jose.GenerateKey(jose.EdDSA, bytes.NewReader(seed[:]), at)
	if err != nil {
		return nil, err
	}
	jwk, err := key.MarshalJWK()
	if err != nil {
		return nil, err
	}
	ex := &example{
		JWK: string(jwk), Method: http.MethodPost, Path: "/v1/payments", Key: "deposit-4711", IssuedAt: at.Unix(),
		Body: `{"amount":{"amount_minor":2500,"currency":"EUR"},"payee_account_id":"acc_01jjx3v6f8e2xtqk9d3mrfbz7w","reference":"Deposit 4711","player":{"reference":"p-81","name":"Erika Mustermann"},"return_uri":"https://casino.example/back"}`,
	}
	ex.Signature, err = jose.SignRequest(key, ex.Method, ex.Path, []jose.Header{{Name: HeaderIdempotencyKey, Value: ex.Key}}, []byte(ex.Body), at)
	if err != nil {
		return nil, err
	}
	header, _, _ := strings.Cut(ex.Signature, "..")
	text, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return nil, err
	}
	ex.Header = string(text)
	ex.Payload = ex.Method + " " + ex.Path + "\n" + HeaderIdempotencyKey + ": " + ex.Key + "\n" + ex.Body
	sum := sha256.Sum256([]byte(ex.Payload))
	ex.SHA256 = hex.EncodeToString(sum[:])
	return ex, nil
}
