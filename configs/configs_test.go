package configs_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/berlingroup"
	"github.com/rialto-hub/rialto/configs"
)

// TestEmptyConfigurationIsUsable holds the defaults against a golden file; run
// with RIALTO_GOLDEN=1 to write it anew.
func TestEmptyConfigurationIsUsable(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n# nothing\n", "---\n", "{}"} {
		c, err := configs.Parse([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "defaults.yaml")
		if os.Getenv("RIALTO_GOLDEN") == "1" {
			if err := os.WriteFile(golden, got, 0o644); err != nil { //nolint:gosec // no secret
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%q gives\n%s\nwant\n%s", text, got, want)
		}
	}
	if c, err := configs.Load(""); err != nil || c.HTTP.Listen != "127.0.0.1:8400" {
		t.Errorf("%+v, %v", c.HTTP, err)
	}
}

func TestDefaultsFollowWhatIsGiven(t *testing.T) {
	t.Parallel()
	c, err := configs.Parse([]byte("data_dir: /d\nhttp: {listen: \"127.0.0.1:9\", cert_file: c, key_file: k}\nnats: {url: nats://n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		c.Database.URL: "sqlite:/d/rialto.db", c.SigningKeysFile: "/d/signing-keys.json", c.NATS.Dir: "", c.Hub.PublicURL: "https://127.0.0.1:9",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if c, err = configs.Parse([]byte("hub: {public_url: \"https://pay.example/\"}\n")); err != nil || c.Hub.PublicURL != "https://pay.example" {
		t.Errorf("%q, %v", c.Hub.PublicURL, err)
	}
}

// TestMistakesNameTheirLine: a configuration that is not understood to the
// last key is refused.
func TestMistakesNameTheirLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":         {"data_dir: d\ndatabse: {}\n", "line 2: field databse not found"},
		"unknown inside":      {"http:\n  listen: \"127.0.0.1:1\"\n  adress: x\n", "line 3: field adress not found"},
		"case variant":        {"Data_dir: d\n", "line 1: field Data_dir not found"},
		"unknown in merchant": {"merchants:\n  - id: x\n    key_file: y\n", "line 3: field key_file not found"},
		"keys inline":         {"merchants:\n  - id: x\n    keys: {}\n", "line 3: field keys not found"},
		"duplicate key":       {"data_dir: a\nsandbox: true\ndata_dir: b\n", `line 3: mapping key "data_dir" already defined at line 1`},
		"second document":     {"data_dir: a\n---\ndata_dir: b\n", "more than one YAML document"},
		"empty second":        {"data_dir: a\n---\n", "more than one YAML document"},
		"bool":                {"\nsandbox: perhaps\n", "line 2: cannot unmarshal"},
		"list for text":       {"data_dir: [a]\n", "line 1: cannot unmarshal"},
		"text for a list":     {"merchants: none\n", "line 1: cannot unmarshal"},
		"duration":            {"hub:\n  expire_after: soon\n", "line 2: cannot unmarshal"},
		"network":             {"http:\n  trusted_proxies: [10.0.0.0/33]\n", `line 2: "10.0.0.0/33" is no network`},
		"log level":           {"log:\n  level: loud\n", "loud"},
		"not YAML":            {"\ndata_dir: {\n", "line 2"},
		"tab":                 {"http:\n\tlisten: x\n", "line 2"},
		"role":                {"roles: [api, payments]\n", `there is no role "payments"`},
		"two roles in one":    {"roles: [\"api pages\"]\n", `there is no role "api pages"`},
		"empty role":          {"roles: [\"\"]\n", `there is no role ""`},
		"unknown right":       {"staff: {roles: {clerk: [\"payments:reed\"]}}\n", `role "clerk": there is no right "payments:reed", only`},
		"role of staff twice": {"staff:\n  roles:\n    clerk: [\"desk:read\"]\n    clerk: [\"desk:admin\"]\n", `line 4: mapping key "clerk" already defined`},
		"role without rights": {"staff: {roles: {clerk: []}}\n", `role "clerk" has no rights`},
		"name of a role":      {"staff: {roles: {a clerk: [\"desk:read\"]}}\n", `role "a clerk"`},
		"beside the roles":    {"staff:\n  rolls: {}\n", "line 2: field rolls not found"},
		"certificate alone":   {"http: {cert_file: c}\n", "go together"},
		"plain to the world":  {"http: {listen: \"0.0.0.0:8400\"}\n", "must be https"},
		"merchant":            {"merchants: [{id: mer_1}]\n", "merchants[0]: id must look like mer_"},
	} {
		_, err := configs.Parse([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", name, err, c.want)
		}
	}
	path := filepath.Join(t.TempDir(), "hub.yaml")
	if err := os.WriteFile(path, []byte("\n\nnonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := configs.Load(path); err == nil || !strings.HasPrefix(err.Error(), "hub.yaml: ") || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("%v", err)
	}
	if _, err := configs.Load(path + ".not"); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestValuesAreRead(t *testing.T) {
	t.Parallel()
	c, err := configs.Parse([]byte(`
sandbox: true
roles: [api, pages]
http: {listen: "0.0.0.0:1", trusted_proxies: [10.0.0.0/8, "fd00::/8", 192.0.2.1]}
hub: {expire_after: 10m, bank_timeout: 3s}
limits: {token: {per_second: 2.5, burst: 7}}
log: {level: debug}
webhooks: {ports: [443, 8443]}
staff: {roles: {clerk: ["payments:read"]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Hub.ExpireAfter != 10*time.Minute || c.Limits.Token.PerSecond != 2.5 || c.Log.Level.String() != "DEBUG" || len(c.HTTP.TrustedProxies) != 3 || c.HTTP.TrustedProxies[2].String() != "192.0.2.1/32" || !slices.Equal(c.Webhooks.Ports, []int{443, 8443}) ||
		len(c.Staff.Roles) != 1 || !slices.Equal(c.Staff.Roles["clerk"], []string{"payments:read"}) {
		t.Errorf("%+v", c)
	}
}

func TestRolesDecideWhatRuns(t *testing.T) {
	t.Parallel()
	all := []string{"api", "pages", "ops", "sequencer", "relay", "follow", "webhooks"}
	c, err := configs.Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if !c.Runs(r) {
			t.Errorf("without roles, %s does not run", r)
		}
	}
	if err := c.SetRoles("api, relay"); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if c.Runs(r) != (r == "api" || r == "relay") {
			t.Errorf("%s: %v", r, c.Runs(r))
		}
	}
	for _, bad := range []string{"api,", "api;pages", "API", "api pages", ",", "all"} {
		if err := c.SetRoles(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestSecretsComeFromFilesAndEnvironment, and an error never shows one.
func TestSecretsComeFromFilesAndEnvironment(t *testing.T) { // not parallel: environment
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("RIALTO_TEST_URL", "postgres://u@h/d")
	t.Setenv("RIALTO_TEST_EMPTY", "")
	c, err := configs.Parse([]byte("database: {url: \"env:RIALTO_TEST_URL\"}\nnats: {url: \"file:" + file("nats", " nats://h \n") + "\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Database.URL != "postgres://u@h/d" || c.NATS.URL != "nats://h" {
		t.Errorf("%q %q", c.Database.URL, c.NATS.URL)
	}
	if v, err := configs.Secret("as it stands: file:x"); err != nil || v != "as it stands: file:x" {
		t.Errorf("%q %v", v, err)
	}
	for _, bad := range []string{"env:RIALTO_TEST_EMPTY", "env:RIALTO_TEST_NOT_SET", "env:", "file:", "file:" + filepath.Join(dir, "none"), "file:" + dir, "file:" + file("empty", " \n")} {
		if v, err := configs.Secret(bad); err == nil || v != "" {
			t.Errorf("%s gives %q", bad, v)
		} else if strings.Contains(err.Error(), dir) {
			t.Errorf("the error shows where secrets lie: %v", err)
		}
		if _, err := configs.Parse([]byte("database: {url: \"" + bad + "\"}\n")); err == nil {
			t.Errorf("%s is taken for an address", bad)
		}
	}
}

// TestKnownBanks: the built-in registry is well-formed, and no bank in it can
// be used before somebody has entered credentials.
func TestKnownBanks(t *testing.T) {
	t.Parallel()
	known, err := configs.KnownBanks()
	if err != nil {
		t.Fatal(err)
	}
	if len(known) < 12 {
		t.Errorf("%d banks", len(known))
	}
	for _, b := range known {
		if b.Disabled == "" || len(b.BICs) == 0 || len(b.Countries) == 0 || b.Adapter != "berlingroup" {
			t.Errorf("%+v", b)
		}
	}
	built, err := banks.Build(known, map[string]banks.Factory{"berlingroup": berlingroup.Open}, banks.Deps{Now: time.Now})
	if err != nil {
		t.Errorf("they can't be built: %v", err)
	}
	if len(built) > len(known) {
		t.Errorf("%d built", len(built))
	}
}

func TestRegistryIsPutTogether(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "banks.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entry := func(id string) banks.Entry {
		return banks.Entry{ID: id, Name: id, Countries: []string{"DE"}, Adapter: "berlingroup", Disabled: "not yet"}
	}
	write("banks:\n  - {id: b, name: B, countries: [DE], adapter: berlingroup, disabled: not yet}\n")
	list, err := configs.Banks{File: path, Entries: []banks.Entry{entry("a")}, KnownBanks: true}.Load()
	if err != nil {
		t.Fatal(err)
	}
	known, err := configs.KnownBanks()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2+len(known) || list[0].ID != "a" || list[1].ID != "b" {
		t.Errorf("%+v", list)
	}
	if _, err := (configs.Banks{File: path, Entries: []banks.Entry{entry("b")}}).Load(); err == nil || !strings.Contains(err.Error(), "used twice") {
		t.Errorf("one id twice: %v", err)
	}
	write("banks:\n  - {id: b, nme: B}\n")
	if _, err := (configs.Banks{File: path}).Load(); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("unknown key: %v", err)
	}
	if _, err := (configs.Banks{File: path + ".not"}).Load(); err == nil {
		t.Error("a missing file is no error")
	}
}

// TestEveryFieldHasAName: no field of the configuration is reached by Go's
// spelling, so that the file reads like one language.
func TestEveryFieldHasAName(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	seen := map[reflect.Type]bool{}
	var walk func(path string, x reflect.Type)
	walk = func(path string, x reflect.Type) {
		for x.Kind() == reflect.Pointer || x.Kind() == reflect.Slice {
			x = x.Elem()
		}
		if x.Kind() != reflect.Struct || !strings.Contains(x.PkgPath(), "rialto") || seen[x] {
			return
		}
		seen[x] = true
		for f := range x.Fields() {
			tag, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if tag == "-" || !f.IsExported() || strings.HasSuffix(path, ".webhooks") && x.Name() != "Config" {
				continue // endpoints and their keys: see the webhooks room
			}
			if !name.MatchString(tag) && !strings.Contains(options, "inline") {
				t.Errorf("%s.%s has no name of its own: %q", path, f.Name, tag)
			}
			walk(path+"."+tag, f.Type)
		}
	}
	walk("config", reflect.TypeFor[configs.Config]())
	if len(seen) < 10 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}
