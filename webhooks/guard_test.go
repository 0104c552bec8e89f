package webhooks

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
)

func mustGuard(t *testing.T, sandbox bool, ports []int, allow []string, r Resolver) *guard {
	t.Helper()
	g, err := newGuard(sandbox, ports, allow, r)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

var badURLs = []string{
	"http://hooks.example.com/", "ftp://hooks.example.com/", "//hooks.example.com/", "hooks.example.com", "https:///x", "https://", "",
	"https://user@hooks.example.com/", "https://user:pw@hooks.example.com/", "https://hooks.example.com/#f", "https://hooks.example.com/#",
	"https://hooks.example.com:22/", "https://hooks.example.com:8443/", "https://hooks.example.com:0/", "https://hooks.example.com:/", "https://hooks.example.com:99999/",
	"https://localhost/", "https://localhost./", "https://a.localhost/", "https://LOCALHOST/", "https://intranet/", "https://db.internal/", "https://printer.local/",
	"https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0177.0.0.1/", "https://0/", "https://0.0.0.0/", "https://1.2.3.4.5/",
	"https://10.0.0.1/", "https://172.16.0.1/", "https://172.31.255.255/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data/",
	"https://100.64.0.1/", "https://100.127.255.255/", "https://192.0.2.1/", "https://198.18.0.1/", "https://203.0.113.9/", "https://224.0.0.1/", "https://255.255.255.255/",
	"https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::ffff:169.254.169.254]/", "https://[::127.0.0.1]/",
	"https://[64:ff9b::7f00:1]/", "https://[64:ff9b:1::1]/", "https://[2002:7f00:1::]/", "https://[2001::1]/", "https://[2001:db8::1]/", "https://[3fff::1]/",
	"https://[fe80::1]/", "https://[fe80::1%25eth0]/", "https://[2606:4700::1%25eth0]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[fec0::1]/", "https://[ff02::1]/", "https://[5f00::1]/",
	"https://１２７.0.0.1/", "https://hooks.exämple.com/", "https://hooks..com/", "https://-a.com/", "https://a b.com/", "https://%31%32%37.0.0.1/", "https://hooks.com%00.evil/",
	"https://\t127.0.0.1/", "https:hooks.example.com", "https://hooks.example.com.:443/",
}

// C31
func TestAddressesThatLeadInsideAreRefusedWhenRegistered(t *testing.T) {
	g := mustGuard(t, false, nil, nil, nil)
	for _, u := range badURLs {
		if _, err := g.parseURL(u); psd2.CodeOf(err) != psd2.CodeInvalid {
			t.Errorf("%q: %v, want invalid", u, err)
		}
	}
	for _, u := range []string{
		"https://hooks.example.com/a?b=c", "https://HOOKS.example.com:443/", "https://8.8.8.8/", "https://[2606:4700:4700::1111]/x", "https://xn--exmple-cua.com/", "https://100.128.0.1/", "https://172.32.0.1/",
	} {
		if _, err := g.parseURL(u); err != nil {
			t.Errorf("%q: %v", u, err)
		}
	}
	sandbox := mustGuard(t, true, nil, nil, nil)
	for u, ok := range map[string]bool{
		"http://127.0.0.1:8080/": true, "http://casino.localhost:4711/x": true, "https://[::1]:1234/": true,
		"http://hooks.example.com/": false, "http://10.0.0.1/": false, "https://10.0.0.1/": false, "http://user@localhost/": false, "https://169.254.169.254/": false,
	} {
		if _, err := sandbox.parseURL(u); (err == nil) != ok {
			t.Errorf("in the sandbox %q: %v", u, err)
		}
	}
	opened := mustGuard(t, false, []int{443, 8443}, []string{"10.1.0.0/16"}, nil)
	for u, ok := range map[string]bool{
		"https://10.1.2.3:8443/": true, "https://10.2.0.1/": false, "https://hooks.internal/": true, "https://localhost/": false, "https://127.0.0.1/": false,
	} {
		if _, err := opened.parseURL(u); (err == nil) != ok {
			t.Errorf("with a network allowed %q: %v", u, err)
		}
	}
}

// names answers with what it is told, a different answer each time.
type names struct {
	answers [][]string
	asked   int
}

func (n *names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	answer := n.answers[min(n.asked, len(n.answers)-1)]
	n.asked++
	var out []netip.Addr
	for _, a := range answer {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

// C32: whatever the name server says at dial, nothing inside is reached.
func TestNameThatTurnsInwardIsRefusedAtDial(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan struct{}, 1)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			conn.Close()
			accepted <- struct{}{}
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	_, portText, _ := net.SplitHostPort(listener.Addr().String())
	for _, answer := range [][]string{
		{"127.0.0.1"}, {"::1"}, {"::ffff:127.0.0.1"}, {"127.0.0.1", "8.8.8.8"}, {"8.8.8.8", "127.0.0.1"}, {"169.254.169.254"}, {"10.0.0.1"},
		{"64:ff9b::7f00:1"}, {"2002:7f00:1::"}, {"0.0.0.0"}, {"::"}, {"fe80::1%lo"},
	} {
		g := mustGuard(t, false, []int{443, port}, nil, &names{answers: [][]string{answer}})
		if _, err := g.parseURL("https://hooks.example.com/"); err != nil {
			t.Fatal(err) // nobody can see it coming when it is registered
		}
		if conn, err := g.dial(t.Context(), "tcp", "hooks.example.com:"+portText); !errors.Is(err, errRefused) {
			t.Errorf("%v: %v, %v", answer, conn, err)
		}
	}
	g := mustGuard(t, false, []int{443, port}, nil, nil)
	for _, host := range []string{"127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "127.1"} {
		if conn, err := g.dial(t.Context(), "tcp", host+":"+portText); !errors.Is(err, errRefused) {
			t.Errorf("%s: %v, %v", host, conn, err)
		}
	}
	// The socket's own check stands when the one before it is passed by.
	if conn, err := g.dialer.DialContext(t.Context(), "tcp", listener.Addr().String()); !errors.Is(err, errRefused) {
		t.Errorf("past the resolver: %v, %v", conn, err)
	}
	select {
	case <-accepted:
		t.Fatal("somebody connected")
	default:
	}
}

// The address that was checked is the one that is dialled: the name is asked
// once.
func TestNameIsResolvedOncePerDial(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	r := &names{answers: [][]string{{"127.0.0.1"}, {"169.254.169.254"}}}
	g := mustGuard(t, true, nil, nil, r)
	conn, err := g.dial(t.Context(), "tcp", net.JoinHostPort("hooks.example.com", portOfListener(listener)))
	if err != nil || r.asked != 1 || conn.RemoteAddr().String() != listener.Addr().String() {
		t.Fatalf("%v, %v, asked %d times", conn, err, r.asked)
	}
	conn.Close()
}

func portOfListener(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func TestPortThatIsNotListedIsRefusedAtDial(t *testing.T) {
	g := mustGuard(t, false, nil, nil, &names{answers: [][]string{{"8.8.8.8"}}})
	if _, err := g.dial(t.Context(), "tcp", "hooks.example.com:22"); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
}

func TestEveryNATAndTunnelOfLoopbackIsSpecial(t *testing.T) {
	g := mustGuard(t, false, nil, nil, nil)
	for _, a := range []string{"127.0.0.1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "2001:0:a00:1::", "fe80::5efe:a00:1", "192.88.99.1", "240.0.0.1", "0.1.2.3"} {
		if g.permits(netip.MustParseAddr(a)) {
			t.Errorf("%s is permitted", a)
		}
	}
	if !g.permits(netip.MustParseAddr("::ffff:8.8.8.8")) {
		t.Error("a public address in its mapped form is refused")
	}
}
