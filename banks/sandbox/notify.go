package sandbox

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// News is what a TPP that gave a TPP-Notification-URI is told when its order
// has come to an end. It is not signed, and worth no more than a reason to ask.
type News struct {
	PaymentID         string `json:"paymentId"`
	TransactionStatus string `json:"transactionStatus"`
	SCAStatus         string `json:"scaStatus"`
}

// How news is delivered.
const (
	noticeBatch   = 32
	noticeTries   = 5
	noticeTimeout = 5 * time.Second
)

// notice queues news of an order, in the transaction that makes it.
func (t *tx) notice(o *order) error {
	if o.NotifyURI == "" {
		return nil
	}
	body, err := json.Marshal(News{o.ID, o.Status, o.SCAStatus})
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO notices (uri, body, due_at) VALUES (?,?,0)`, o.NotifyURI, string(body))
	return err
}

type notice struct {
	Position int64  `db:"position"`
	URI      string `db:"uri"`
	Body     string `db:"body"`
	DueAt    int64  `db:"due_at"`
	Tries    int    `db:"tries"`
}

// deliver tells a bounded number of TPPs what is due, and says when more is;
// the zero time means that nothing waits.
func (s *Sandbox) deliver(ctx context.Context, now time.Time) (next time.Time, err error) {
	var due []notice
	if err := s.file.sel(ctx, &due, `SELECT * FROM notices ORDER BY due_at, position LIMIT ?`, noticeBatch+1); err != nil {
		return now, err
	}
	for i, n := range due {
		if at := time.UnixMicro(n.DueAt); at.After(now) {
			return at.UTC(), nil
		}
		if i == noticeBatch {
			return now, nil
		}
		told := s.tell(ctx, n)
		err := s.file.do(func(t *tx) (err error) {
			if told || n.Tries+1 >= noticeTries {
				_, err = t.exec(`DELETE FROM notices WHERE position = ?`, n.Position)
				return err
			}
			again := now.Add(time.Second << n.Tries)
			if next.IsZero() || again.Before(next) {
				next = again
			}
			_, err = t.exec(`UPDATE notices SET tries = tries + 1, due_at = ? WHERE position = ?`, again.UnixMicro(), n.Position)
			return err
		})
		if err != nil {
			return now, err
		}
	}
	return next, nil
}

// tell posts one piece of news; any 2xx is understood.
func (s *Sandbox) tell(ctx context.Context, n notice) bool {
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URI, bytes.NewReader([]byte(n.Body)))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(requestIDHd, s.uuid())
	res, err := s.client.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode >= 200 && res.StatusCode < 300
}

// newClient reaches TPPs: no redirects, and names under localhost are this
// machine, as for browsers.
func newClient() *http.Client {
	dialer := &net.Dialer{Timeout: noticeTimeout}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(addr); err == nil && strings.HasSuffix("."+host, ".localhost") {
			addr = net.JoinHostPort("127.0.0.1", port)
		}
		return dialer.DialContext(ctx, network, addr)
	}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
