package edge

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/rialto-hub/rialto/psd2"
)

// ReadBody returns the raw bytes of a JSON request, at most max of them. A
// request without body and without Content-Type gives an empty slice. Errors
// are *psd2.Error: too_large (413), media_type (415) for anything but
// application/json in UTF-8 and without Content-Encoding, invalid (400) for a
// body that breaks off or takes longer than Edge.BodyTime.
func ReadBody(r *http.Request, max int64) ([]byte, error) {
	if err := checkType(r, "application/json"); err != nil {
		return nil, err
	}
	return readAll(r, max)
}

// ReadForm returns the parameters of a form post, at most max bytes of them.
// A parameter that comes twice is refused (RFC 6749 §3.2), and so is what is
// not UTF-8; the URL's query is not read.
func ReadForm(r *http.Request, max int64) (url.Values, error) {
	if err := checkType(r, "application/x-www-form-urlencoded"); err != nil {
		return nil, err
	}
	raw, err := readAll(r, max)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, psd2.Invalid("", "form_invalid", "the form is not valid application/x-www-form-urlencoded")
	}
	for name, values := range form {
		if len(values) != 1 {
			return nil, psd2.Invalid(safeName(name), "parameter_repeated", "each parameter may be sent once only")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, psd2.Invalid(safeName(name), "form_invalid", "the form is not valid UTF-8")
		}
	}
	return form, nil
}

func checkType(r *http.Request, want string) error {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return psd2.Fail(psd2.CodeMediaType, "content_encoding_not_supported", "the body must be sent without Content-Encoding")
	}
	values := r.Header.Values("Content-Type")
	if len(values) == 0 && r.ContentLength == 0 {
		return nil
	}
	wrong := psd2.Fail(psd2.CodeMediaType, "content_type_not_supported", "the content type must be "+want)
	if len(values) != 1 {
		return wrong
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil || media != want {
		return wrong
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return wrong
		}
	}
	return nil
}

func readAll(r *http.Request, max int64) ([]byte, error) {
	tooLarge := psd2.Fail(psd2.CodeTooLarge, "body_too_large", "the body is larger than this call accepts")
	if r.ContentLength > max {
		return nil, tooLarge
	}
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, max+1))
	var cut *http.MaxBytesError
	switch {
	case errors.As(err, &cut) || int64(len(body)) > max:
		return nil, tooLarge
	case err != nil:
		return nil, &psd2.Error{Code: psd2.CodeInvalid, Reason: "body_incomplete",
			Message: "the body broke off, took too long or was badly framed", Err: err}
	}
	return body, nil
}
