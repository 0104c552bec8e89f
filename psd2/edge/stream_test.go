package edge_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/edge"
)

func TestStreamLooksAtEverySignalUntilThereIsNoMore(t *testing.T) {
	changed := make(chan struct{}, 1)
	answers := []string{"data: 1\n\n", "", "data: 2\n\n"}
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		edge.Stream{Pause: time.Hour, Changed: changed}.Serve(w, r, func() (string, bool) {
			calls++
			return answers[calls-1], calls < len(answers)
		})
	}))
	defer server.Close()
	resp, err := http.Head(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if calls != 0 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("HEAD: %d looks, %v", calls, resp.Header)
	}
	if resp, err = http.Get(server.URL); err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for i, want := range []string{"data: 1\n", ": still here\n", "data: 2\n"} {
		if i > 0 {
			changed <- struct{}{}
		}
		line, err := lines.ReadString('\n')
		empty, _ := lines.ReadString('\n')
		if err != nil || line != want || empty != "\n" {
			t.Fatalf("%q %q %v, want %q", line, empty, err, want)
		}
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 { // ended in order, not cut off
		t.Errorf("%q %v", rest, err)
	}
}

func TestStreamEndsWhenTheServerGoesDown(t *testing.T) {
	closed := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		edge.Stream{Pause: time.Hour, Closed: closed}.Serve(w, r, func() (string, bool) { return "data: 1\n\n", true })
	}))
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	close(closed)
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "data: 1\n\n" {
		t.Errorf("%q %v", body, err)
	}
}
