package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/cmd/rialto/payer"
)

// guesses are what scanners ask every server for.
const guesses = `
debug/pprof/ debug/pprof/heap debug/pprof/profile?seconds=1 debug/pprof/cmdline debug/pprof/goroutine?debug=2 debug/vars debug/requests debug/events debug debug/
pprof pprof/heap metrics prometheus actuator actuator/health actuator/env actuator/heapdump actuator/prometheus health healthz readyz livez status server-status
server-info info env varz statsz connz jsz subsz routez stats trace heapdump threaddump jolokia
.git/HEAD .git/config .git/index .gitignore .svn/entries .hg/store .bzr/README .DS_Store .env .env.local .env.production .aws/credentials .ssh/id_rsa .ssh/id_ed25519
.npmrc .htaccess .htpasswd .dockerenv .config .bash_history Dockerfile docker-compose.yml Makefile go.mod go.sum README.md LICENSE vendor/modules.txt package.json composer.json
swagger swagger.json swagger.yaml swagger/index.html swagger-ui swagger-ui.html api-docs v2/api-docs v3/api-docs openapi.json redoc graphql graphiql playground
admin admin/ admin/login administrator console console/ dashboard manager/html phpmyadmin wp-admin wp-login.php index.php login.php setup install config config.yaml config.json
hub.yaml rialto.yaml configs/banks.yaml banks.yaml settings.json web.config robots.txt.bak backup backup.zip backup.tar.gz backup.sql dump.sql database.sql db.sqlite rialto.db
data/hub/rialto.db hub/rialto.db hub/deployment.key deployment.key signing-keys.json hub/signing-keys.json operator-token casino.json casino-key.json instance jetstream jetstream/ hub/jetstream/
id_rsa server.key private.key key.pem cert.pem dev-key.pem tls.key secrets secrets.json credentials credentials.json token tokens keys jwks_private.json
test tests tmp temp old src source upload uploads files download static static/ assets assets/ internal private public node_modules/ cgi-bin/ shell cmd exec eval proxy
v1 v1/ v1/admin v1/internal v1/debug v1/merchants v1/users v1/keys v1/config v1/payments/../../etc/passwd v1/tokens v0/payments v2/payments api api/ api/v1 oauth oauth/ oauth/authorize
oauth/introspect oauth/revoke oauth/register .well-known/ .well-known/openid-configuration .well-known/security.txt .well-known/jwks-private.json ops operators operator users sessions
static/../../go.mod static/%2e%2e/%2e%2e/go.mod static/..%2f..%2fgo.mod ..%2f..%2fgo.mod %2e%2e/%2e%2e/etc/passwd docs/../go.mod docs/%2e%2e/go.mod static/page.go docs/docs.go
`

// TestNothingIsServedThatNobodyMeantToServe: C49. Each listener answers what a
// scanner asks for with 404, unless the address is one of its own; health and
// metrics are on the admin listener alone.
func TestNothingIsServedThatNobodyMeantToServe(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	words := strings.Fields(guesses)
	if len(words) < 100 {
		t.Fatalf("only %d guesses", len(words))
	}
	client := payer.NewClient(nil)
	var ask func(origin, path string) (int, string)
	ask = func(origin, path string) (int, string) {
		res, err := client.Get(origin + "/" + path)
		if err != nil {
			t.Fatalf("%s/%s: %v", origin, path, err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if to := res.Header.Get("Location"); res.StatusCode == http.StatusTemporaryRedirect && to != "/"+path && strings.Contains(path, "..") {
			return ask(origin, strings.TrimPrefix(to, "/")) // net/http asks for the shortest form of a path
		}
		return res.StatusCode, string(body)
	}
	for _, c := range []struct {
		name, origin string
		own          []string // addresses that are meant
	}{
		{"public", w.HubURL, []string{"status"}}, // how the banks do
		{"ops", w.OpsURL, nil},
		{"officers", w.OfficersURL, nil},
		{"bank", w.BankURL, nil},
		{"casino", w.CasinoURL, nil},
		{"admin", w.AdminURL, []string{"metrics", "healthz", "readyz"}},
	} {
		own := map[string]bool{}
		for _, p := range c.own {
			own[p] = true
		}
		for _, word := range words {
			status, body := ask(c.origin, word)
			if own[word] {
				if status != http.StatusOK {
					t.Errorf("%s/%s: %d", c.name, word, status)
				}
				continue
			}
			if status != http.StatusNotFound {
				t.Errorf("%s/%s: %d %.80q", c.name, word, status, body)
			}
			for _, tell := range []string{"goroutine", "go_gc_", "[core]", "module github.com", "root:x:", "SQLite format"} {
				if strings.Contains(body, tell) {
					t.Errorf("%s/%s tells %q", c.name, word, tell)
				}
			}
		}
	}
}

// TestServersDoNotNameTheirSoftware: C49.
func TestServersDoNotNameTheirSoftware(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	client := payer.NewClient(nil)
	for _, u := range []string{w.HubURL + "/docs", w.HubURL + "/nowhere", w.OpsURL + "/staff/login", w.AdminURL + "/healthz"} {
		res, err := client.Get(u)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		for _, name := range []string{"Server", "X-Powered-By", "Via", "X-Runtime"} {
			if v := res.Header.Get(name); v != "" {
				t.Errorf("%s says %s: %s", u, name, v)
			}
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s lets browsers guess types", u)
		}
	}
}
