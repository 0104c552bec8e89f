package rules

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/rialto-hub/rialto/compliance/names"
)

// maxLine bounds one line of a stream.
const maxLine = 1 << 20

// Stream reads recorded events and puts them in order of time. Fields may come
// in any order, unknown ones are passed over, and so are empty lines. A line
// that is no event is an error that names it, so that nothing is lost without a
// word; of a transaction that comes again the last line counts.
func (e *Engine) Stream(r io.Reader) ([]*Fact, error) {
	return e.stream(r, func(line int, err error) error { return fmt.Errorf("line %d: %w", line, err) })
}

// StreamPast is Stream, except that it goes past lines that are no event and
// tells each. A stream without any event stays an error.
func (e *Engine) StreamPast(r io.Reader, tell func(line int, why error)) ([]*Fact, error) {
	return e.stream(r, func(line int, err error) error { tell(line, err); return nil })
}

func (e *Engine) stream(r io.Reader, wrong func(line int, err error) error) ([]*Fact, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	holders := newHolders(e.limits["own_name"])
	seen := map[string]int{}
	var out []*Fact
	line := 0
	for scanner.Scan() {
		line++
		text := bytes.TrimSpace(scanner.Bytes())
		if line == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		if len(text) == 0 {
			continue
		}
		f, err := e.parseEvent(text, holders)
		if err != nil {
			if err = wrong(line, err); err != nil {
				return nil, err
			}
			continue
		}
		if i, again := seen[f.ID]; again {
			out[i] = f
			continue
		}
		seen[f.ID] = len(out)
		out = append(out, f)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", line+1, err)
	}
	if len(out) == 0 {
		return nil, errors.New("there are no events in it")
	}
	slices.SortStableFunc(out, func(a, b *Fact) int { return compare(a.Observe(), b.At.UnixMicro(), b.ID) })
	return out, nil
}

// Network is what an address counts by: its /24, or /64 for IPv6. Empty when
// it is no address.
func Network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	a = a.Unmap()
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// holders compares account holders with players, each pair of names once.
type holders struct {
	own  float64
	seen map[[2]string]float64
}

func newHolders(own float64) *holders { return &holders{own, map[[2]string]float64{}} }

func (h *holders) compare(holder, player string) (key string, match *float64) {
	if holder == "" || player == "" {
		return "", nil
	}
	pair := [2]string{holder, player}
	v, ok := h.seen[pair]
	if !ok {
		v = names.Pair("Person", holder, player)
		h.seen[pair] = v
	}
	if v >= h.own {
		return HolderSelf, &v
	}
	return "name/" + names.Fold(holder), &v
}
