package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/webhooks/verify"
)

// maxDelivery is the largest recorded delivery that is read.
const maxDelivery = 1 << 20

// webhookVerdict is what "rialto verify webhook" says of one delivery.
type webhookVerdict struct {
	Valid     bool       `json:"valid"`
	Scheme    string     `json:"scheme,omitempty"` // v1, v1a or jws: which signature was believed
	KeyID     string     `json:"kid,omitempty"`
	EventID   string     `json:"event_id,omitempty"`
	Type      string     `json:"type,omitempty"`
	Signed    *time.Time `json:"signed_at,omitempty"`
	Reason    string     `json:"reason,omitempty"` // header, clock, key, signature or body
	Detail    string     `json:"detail"`
	OnlyClock bool       `json:"only_clock,omitempty"` // everything but its age is good
}

// verifyWebhook is "rialto verify webhook": it says of a recorded delivery
// whether its signature is good, and else why not.
func verifyWebhook(e env, args []string) error {
	f := flags(e, "verify webhook")
	secretFile := f.String("secret-file", "", "file with the whsec_… secrets, one a line")
	public := f.String("public-key", "", "whpk_…")
	jwks := f.String("jwks", "", "file with the hub's /.well-known/jwks.json")
	bodyFile := f.String("body", "", "file with the raw body, when FILE holds the headers alone")
	at := f.String("at", "", "the time it arrived, RFC 3339 (default: now)")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 1); err != nil {
		return err
	}
	now := time.Now()
	if *at != "" {
		var err error
		if now, err = time.Parse(time.RFC3339, *at); err != nil {
			return usagef("--at must be like 2026-11-20T10:00:00Z")
		}
	}
	config, err := receiverKeys(*secretFile, *public, *jwks)
	if err != nil {
		return usageError{err.Error()}
	}
	receiver, err := verify.New(config)
	if err != nil {
		return usageError{err.Error()}
	}
	header, body, err := readDelivery(f.Arg(0), *bodyFile)
	if err != nil {
		return usageError{err.Error()}
	}
	v := judgeWebhook(receiver, header, body, now)
	if *asJSON {
		if err := json.NewEncoder(e.stdout).Encode(v); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(e.stdout, v.text())
	}
	if !v.Valid {
		return errFinding
	}
	return nil
}

func receiverKeys(secretFile, public, jwks string) (c verify.Config, err error) {
	if secretFile != "" {
		text, err := readLimited(secretFile, maxDelivery)
		if err != nil {
			return c, err
		}
		c.Secrets = strings.Fields(string(text))
	}
	if public != "" {
		c.PublicKeys = []string{public}
	}
	if jwks != "" {
		if c.JWKS, err = readLimited(jwks, maxDelivery); err != nil {
			return c, err
		}
	}
	return c, nil
}

// readDelivery reads a recorded HTTP request, with or without its first line,
// or its headers alone when the body has a file of its own.
func readDelivery(path, bodyFile string) (http.Header, []byte, error) {
	recorded, err := readLimited(path, maxDelivery)
	if err != nil {
		return nil, nil, err
	}
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(recorded)))
	if line, _, _ := bytes.Cut(recorded, []byte("\n")); bytes.HasPrefix(line, []byte("POST ")) {
		if _, err := r.ReadLine(); err != nil {
			return nil, nil, err
		}
	}
	header, err := r.ReadMIMEHeader()
	if err != nil && !(bodyFile != "" && errors.Is(err, io.EOF)) {
		return nil, nil, fmt.Errorf("%s: not a recorded request: name: value lines, an empty line, the body", path)
	}
	if bodyFile != "" {
		body, err := readLimited(bodyFile, maxDelivery)
		return http.Header(header), body, err
	}
	body, err := io.ReadAll(r.R)
	return http.Header(header), body, err
}

func judgeWebhook(receiver *verify.Verifier, header http.Header, body []byte, now time.Time) (v webhookVerdict) {
	signed, err := receiver.Signature(header, body, now)
	var refused *verify.Error
	if errors.As(err, &refused) {
		v.Reason, v.Detail = string(refused.Reason), refused.Message
		if refused.Reason != verify.ReasonClock {
			return v
		}
		// Is its age all that is wrong? Then it is a clock, or a replay.
		seconds, _ := strconv.ParseInt(header.Get(verify.HeaderTimestamp), 10, 64) // it was read before
		signed, err := receiver.Signature(header, body, time.Unix(seconds, 0))
		if v.OnlyClock = err == nil; err == nil {
			v.Scheme, v.Signed = signed.Scheme, &signed.Timestamp
			v.Detail += "; the signature itself is good"
		} else if errors.As(err, &refused) {
			v.Detail += "; besides: " + refused.Message
		}
		return v
	}
	v.Scheme, v.KeyID, v.Signed = signed.Scheme, signed.KeyID, &signed.Timestamp
	event, err := receiver.Verify(header, body, now)
	if errors.As(err, &refused) {
		v.Reason, v.Detail = string(refused.Reason), refused.Message
		return v
	}
	v.Valid, v.EventID, v.Type, v.Detail = true, event.ID, event.Type, "the signature is good"
	return v
}

func (v webhookVerdict) text() string {
	if v.Valid {
		return fmt.Sprintf("good: %s %s, signed %s (%s)", v.Type, v.EventID, v.Signed.Format(time.RFC3339), v.Scheme)
	}
	return fmt.Sprintf("refused, %s: %s", v.Reason, v.Detail)
}
