package edge

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rialto-hub/rialto/psd2"
)

// maxDepth is how deep objects and arrays may nest in a request. Our deepest
// has three levels.
const maxDepth = 16

// DecodeStrict reads one JSON object into dst, a pointer to a struct, and
// refuses whatever two parsers could read differently: keys that come twice,
// differ in case or are unknown, anything after the object, a byte order mark,
// invalid UTF-8, nesting deeper than 16, fractions, exponents and strings
// where an integer is expected. null means absent. The error is a *psd2.Error
// with CodeInvalid that names the field where it can.
func DecodeStrict(body []byte, dst any) error {
	switch trimmed := bytes.TrimLeft(body, " \t\r\n"); {
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		return psd2.Invalid("", "json_invalid", "the body must not begin with a byte order mark")
	case len(trimmed) == 0:
		return psd2.Invalid("", "json_invalid", "the body is empty; a JSON object is expected")
	case !utf8.Valid(body):
		return psd2.Invalid("", "json_invalid", "the body is not valid UTF-8")
	case trimmed[0] != '{':
		return psd2.Invalid("", "json_invalid", "the body must be a JSON object")
	case tooDeep(body):
		return psd2.Invalid("", "json_too_deep", "the body nests more than "+strconv.Itoa(maxDepth)+" levels")
	}
	if err := json.Unmarshal(body, dst, json.RejectUnknownMembers(true)); err != nil {
		return explain(err)
	}
	return nil
}

// tooDeep counts brackets outside strings, without recursion.
func tooDeep(body []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// explain turns the decoder's error into one of ours. The decoder's own words
// may quote the input or name our types, so they are not used.
func explain(err error) error {
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &syntactic) && errors.Is(err, jsontext.ErrDuplicateName):
		return psd2.Invalid(fieldOf(syntactic.JSONPointer), "json_duplicate_key", "a key comes twice in one object")
	case errors.As(err, &syntactic):
		return psd2.Invalid(fieldOf(syntactic.JSONPointer), "json_invalid",
			"the body is not valid JSON at byte "+strconv.FormatInt(syntactic.ByteOffset, 10))
	case errors.As(err, &semantic) && errors.Is(err, json.ErrUnknownName):
		return psd2.Invalid(fieldOf(semantic.JSONPointer), "json_unknown_key", "this key is not known here; keys are case-sensitive")
	case errors.As(err, &semantic):
		return psd2.Invalid(fieldOf(semantic.JSONPointer), "json_wrong_type",
			"the value has the wrong type or is out of range; amounts are whole numbers of minor units")
	}
	return psd2.Invalid("", "json_invalid", "the body is not valid JSON")
}

// fieldOf writes a JSON pointer as our errors do: /player/name → player.name,
// /urls/0 → urls[0].
func fieldOf(pointer jsontext.Pointer) string {
	var b strings.Builder
	for token := range pointer.Tokens() {
		if _, err := strconv.ParseUint(token, 10, 16); err == nil && b.Len() > 0 {
			b.WriteString("[" + token + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(safeName(token))
	}
	return b.String()
}

// safeName echoes a stranger's key only when it is a plain short word.
func safeName(name string) string {
	if name == "" || len(name) > 64 {
		return "?"
	}
	for i := range len(name) {
		c := name[i]
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "?"
		}
	}
	return name
}
