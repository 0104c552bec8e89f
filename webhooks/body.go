package webhooks

import (
	"strconv"

	"github.com/rialto-hub/rialto/psd2"
)

// body writes what is sent of an event to endpoints of the one version that
// there is: {"id","type","created_at","sequence","data"}. Of one event it is the
// same bytes for ever.
func body(e psd2.Event) []byte {
	b := make([]byte, 0, len(e.Data)+160)
	b = append(b, `{"id":`...)
	b = strconv.AppendQuote(b, e.ID) // ids and types are plain ASCII
	b = append(b, `,"type":`...)
	b = strconv.AppendQuote(b, e.Type)
	b = append(b, `,"created_at":`...)
	b = e.CreatedAt.UTC().AppendFormat(b, `"2006-01-02T15:04:05.000Z"`)
	b = append(b, `,"sequence":`...)
	b = strconv.AppendInt(b, e.Sequence, 10)
	b = append(b, `,"data":`...)
	b = append(b, e.Data...)
	return append(b, '}')
}
