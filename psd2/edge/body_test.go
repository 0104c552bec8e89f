package edge

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

type order struct {
	Amount struct {
		AmountMinor int64  `json:"amount_minor"`
		Currency    string `json:"currency"`
	} `json:"amount"`
	Reference string            `json:"reference"`
	State     string            `json:"state,omitempty"`
	URLs      []string          `json:"urls,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
}

func TestDecodeStrictLeavesNothingToInterpretation(t *testing.T) { // C03, C04, C05, C06
	const good = `{"amount":{"amount_minor":2500,"currency":"EUR"},"reference":"A","metadata":{"a":"1"},"state":null}`
	var o order
	if err := DecodeStrict([]byte(" \n"+good+"\n"), &o); err != nil || o.Amount.AmountMinor != 2500 || o.Metadata["a"] != "1" {
		t.Fatalf("a good body gave %v %+v", err, o)
	}
	amount := func(s string) string { return `{"amount":{"amount_minor":` + s + `,"currency":"EUR"}}` }
	for _, tc := range []struct{ name, body, code, field string }{
		{"nothing", "", "json_invalid", ""},
		{"blanks", " \n", "json_invalid", ""},
		{"no JSON", "hello", "json_invalid", ""},
		{"null", "null", "json_invalid", ""},
		{"array", "[]", "json_invalid", ""},
		{"cut off", `{"reference":"A"`, "json_invalid", ""},
		{"trailing object", `{}{}`, "json_invalid", ""},
		{"trailing word", `{} x`, "json_invalid", ""},
		{"byte order mark", "\xef\xbb\xbf{}", "json_invalid", ""},
		{"invalid UTF-8", "{\"reference\":\"\xff\"}", "json_invalid", ""},
		{"lone surrogate", `{"reference":"\ud800"}`, "json_invalid", "reference"},
		{"comment", `{/* */}`, "json_invalid", ""},
		{"single quotes", `{'reference':'A'}`, "json_invalid", ""},
		{"trailing comma", `{"reference":"A",}`, "json_invalid", ""},
		{"duplicate key", `{"reference":"A","reference":"B"}`, "json_duplicate_key", "reference"},
		{"escaped duplicate", `{"reference":"A","\u0072eference":"B"}`, "json_duplicate_key", "reference"},
		{"duplicate inside", `{"amount":{"amount_minor":1,"amount_minor":2}}`, "json_duplicate_key", "amount.amount_minor"},
		{"duplicate in map", `{"metadata":{"a":"1","a":"2"}}`, "json_duplicate_key", "metadata.a"},
		{"case variant", `{"reference":"A","Reference":"B"}`, "json_unknown_key", "Reference"},
		{"case variant alone", `{"REFERENCE":"B"}`, "json_unknown_key", "REFERENCE"},
		{"mass assignment", `{"status":"settled"}`, "json_unknown_key", "status"},
		{"merchant_id", `{"merchant_id":"mer_x"}`, "json_unknown_key", "merchant_id"},
		{"hostile key", `{"<script>":1}`, "json_unknown_key", "?"},
		{"fraction", amount("2500.0"), "json_wrong_type", "amount.amount_minor"},
		{"exponent", amount("1e2"), "json_wrong_type", "amount.amount_minor"},
		{"string", amount(`"2500"`), "json_wrong_type", "amount.amount_minor"},
		{"bool", amount("true"), "json_wrong_type", "amount.amount_minor"},
		{"too large", amount("9223372036854775808"), "json_wrong_type", "amount.amount_minor"},
		{"9e18", amount("9e18"), "json_wrong_type", "amount.amount_minor"},
		{"NaN", amount("NaN"), "json_invalid", "amount.amount_minor"},
		{"plus", amount("+1"), "json_invalid", "amount.amount_minor"},
		{"leading zero", amount("01"), "json_invalid", "amount.amount_minor"},
		{"comma", amount("1,00"), "json_invalid", "amount"},
		{"number for a string", `{"reference":1}`, "json_wrong_type", "reference"},
		{"in a list", `{"urls":["a",1]}`, "json_wrong_type", "urls[1]"},
		{"deep", `{"metadata":` + strings.Repeat(`{"a":`, 200_000) + "1" + strings.Repeat("}", 200_001), "json_too_deep", ""},
		{"deep array", `{"urls":` + strings.Repeat("[", 5000), "json_too_deep", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var o order
			err := DecodeStrict([]byte(tc.body), &o)
			e, ok := err.(*psd2.Error)
			if !ok || e.Code != psd2.CodeInvalid || e.Reason != tc.code {
				t.Fatalf("got %v", err)
			}
			if e.Field != tc.field && tc.code != "json_invalid" {
				t.Errorf("field %q, want %q", e.Field, tc.field)
			}
			if strings.Contains(e.Message, "Go ") || strings.Contains(e.Message, "edge.") || strings.Contains(e.Message, "script") {
				t.Errorf("the message tells internals: %s", e.Message)
			}
		})
	}
}

// FuzzDecodeStrict holds DecodeStrict against encoding/json: what the strict
// decoder takes, the lenient one reads the same way.
func FuzzDecodeStrict(f *testing.F) {
	for _, s := range []string{`{}`, `{"amount":{"amount_minor":2500,"currency":"EUR"},"reference":"A"}`, `{"metadata":{"a":"1"}}`,
		`{"urls":["a"],"state":null}`, `{"reference":"\u0041\ud83d\ude00"}`, `{"a":1}{"b":2}`, "\xef\xbb\xbf{}", `{"urls":[[[[`, `{"reference":"\\","metadata":{"[{":"}"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var strict, lenient order
		if err := DecodeStrict(body, &strict); err != nil {
			if e, ok := err.(*psd2.Error); !ok || e.Code != psd2.CodeInvalid {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		d := stdjson.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&lenient); err != nil {
			t.Fatalf("%q: taken, but encoding/json says %v", body, err)
		}
		if d.More() {
			t.Fatalf("%q: taken with something behind it", body)
		}
		// null empties a map or list in one decoder and leaves nil in the other.
		if len(strict.URLs)+len(lenient.URLs)+len(strict.Metadata)+len(lenient.Metadata) > 0 && !reflect.DeepEqual(strict, lenient) {
			t.Fatalf("%q: %+v, but encoding/json reads %+v", body, strict, lenient)
		}
		if strict.Amount != lenient.Amount || strict.Reference != lenient.Reference || strict.State != lenient.State {
			t.Fatalf("%q: %+v, but encoding/json reads %+v", body, strict, lenient)
		}
	})
}

func TestBodiesAreCappedAndTyped(t *testing.T) { // C05
	server := serve(t, &Edge{}, func(w http.ResponseWriter, r *http.Request) {
		body, err := ReadBody(r, 100)
		if err != nil {
			WriteProblem(w, r, err)
			return
		}
		_, _ = fmt.Fprintf(w, "%d", len(body))
	})
	chunked := func(n int) io.Reader { return io.MultiReader(strings.NewReader(strings.Repeat(" ", n))) }
	for _, tc := range []struct {
		name, contentType, encoding string
		body                        io.Reader
		status                      int
	}{
		{"exactly the cap", "application/json", "", strings.NewReader(strings.Repeat(" ", 100)), 200},
		{"charset", "application/json; charset=UTF-8", "", strings.NewReader("{}"), 200},
		{"no body", "", "", nil, 200},
		{"one too many", "application/json", "", strings.NewReader(strings.Repeat(" ", 101)), 413},
		{"20 MB announced", "application/json", "", strings.NewReader(strings.Repeat(" ", 20<<20)), 413},
		{"20 MB in chunks", "application/json", "", chunked(20 << 20), 413},
		{"no type", "", "", strings.NewReader("{}"), 415},
		{"text", "text/plain", "", strings.NewReader("{}"), 415},
		{"form", "application/x-www-form-urlencoded", "", strings.NewReader("a=1"), 415},
		{"latin1", "application/json; charset=iso-8859-1", "", strings.NewReader("{}"), 415},
		{"unreadable type", "application/json; =", "", strings.NewReader("{}"), 415},
		{"gzip", "application/json", "gzip", strings.NewReader("{}"), 415},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, tc.body)
		if err != nil {
			t.Fatal(err)
		}
		if tc.contentType != "" {
			req.Header.Set("Content-Type", tc.contentType)
		}
		if tc.encoding != "" {
			req.Header.Set("Content-Encoding", tc.encoding)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if res.StatusCode != tc.status {
			t.Errorf("%s: %d, want %d", tc.name, res.StatusCode, tc.status)
		}
		_ = res.Body.Close()
	}
}

func TestAnnouncedBodyIsRefusedUnread(t *testing.T) { // C05
	server := serve(t, &Edge{}, func(w http.ResponseWriter, r *http.Request) {
		_, err := ReadBody(r, 100)
		WriteProblem(w, r, err)
	})
	answer := raw(t, server, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20000000\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 413 ") {
		t.Errorf("%.100q", answer)
	}
}

func TestSlowBodyIsCutOff(t *testing.T) { // C05
	server := serve(t, &Edge{BodyTime: 30 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		_, err := ReadBody(r, 100)
		if err == nil {
			t.Error("a body that never came was read")
		}
		WriteProblem(w, r, err)
	})
	answer := raw(t, server, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{")
	if !strings.HasPrefix(answer, "HTTP/1.1 400 ") && !strings.HasPrefix(answer, "HTTP/1.1 503 ") {
		t.Errorf("%.200q", answer)
	}
}

func TestBodyTimeDoesNotCutALongAnswer(t *testing.T) {
	read, done := make(chan struct{}), make(chan error, 1)
	server := serve(t, &Edge{BodyTime: 20 * time.Millisecond}, func(_ http.ResponseWriter, r *http.Request) {
		_, err := ReadBody(r, 100)
		close(read)
		if err == nil {
			select {
			case <-r.Context().Done():
				err = r.Context().Err()
			case <-time.After(100 * time.Millisecond): // five times the deadline that must have been lifted
			}
		}
		done <- err
	})
	res, err := http.Post(server.URL, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	<-read
	if err := <-done; err != nil {
		t.Errorf("the handler was cancelled: %v", err)
	}
}

func TestFormsAreStrict(t *testing.T) {
	for _, tc := range []struct {
		body, contentType string
		ok                bool
	}{
		{"a=1&b=2", "application/x-www-form-urlencoded", true},
		{"a=1&a=2", "application/x-www-form-urlencoded", false},
		{"a=%zz", "application/x-www-form-urlencoded", false},
		{"a=%ff", "application/x-www-form-urlencoded", false},
		{"a=1;b=2", "application/x-www-form-urlencoded", false},
		{"a=" + strings.Repeat("x", 100), "application/x-www-form-urlencoded", false},
		{"a=1", "application/json", false},
		{"a=1", "multipart/form-data; boundary=x", false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/?b=from-the-query", strings.NewReader(tc.body))
		r.Header.Set("Content-Type", tc.contentType)
		form, err := ReadForm(r, 50)
		if (err == nil) != tc.ok {
			t.Errorf("%q as %s: %v", tc.body, tc.contentType, err)
		}
		if err == nil && (form.Get("a") != "1" || form.Get("b") != "2") {
			t.Errorf("%q gave %v", tc.body, form)
		}
	}
}
