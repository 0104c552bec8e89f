package sca

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxExact is the largest integer that every JSON implementation keeps exact
// (RFC 7493 §2.2).
const maxExact = 1<<53 - 1

var errNotCanonical = errors.New("sca: not representable in canonical JSON")

// canonical writes an object as RFC 8785 demands: members sorted by UTF-16 code
// units, no blanks, the shortest escapes. Values are strings, integers and
// objects of those; that is all a link consists of, and what is not exact in
// every JSON implementation is refused.
func canonical(object map[string]any) ([]byte, error) {
	return appendObject(nil, object)
}

func appendObject(b []byte, object map[string]any) ([]byte, error) {
	b = append(b, '{')
	keys := slices.SortedFunc(maps.Keys(object), func(x, y string) int {
		return slices.Compare(utf16.Encode([]rune(x)), utf16.Encode([]rune(y)))
	})
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendString(b, key); err != nil {
			return nil, err
		}
		b = append(b, ':')
		switch v := object[key].(type) {
		case string:
			b, err = appendString(b, v)
		case int64:
			if v > maxExact || v < -maxExact {
				return nil, errNotCanonical
			}
			b = strconv.AppendInt(b, v, 10)
		case map[string]any:
			b, err = appendObject(b, v)
		default:
			return nil, errNotCanonical
		}
		if err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

const hexDigits = "0123456789abcdef"

var shortEscapes = map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`}

func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errNotCanonical
	}
	b = append(b, '"')
	for _, r := range s {
		switch short, ok := shortEscapes[r]; {
		case ok:
			b = append(b, short...)
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"'), nil
}
