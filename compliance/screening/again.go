package screening

import (
	"encoding/json"
	"fmt"

	"github.com/rialto-hub/rialto/compliance/names"
)

// Again computes a stored finding anew from its inputs, with the list it was
// made with. possible is false when that version of the list is not in use any
// more: then nothing can be said here, and Replay wants the old file.
func (s *Service) Again(stored json.RawMessage) (hit names.Hit, possible bool, err error) {
	var in Inputs
	if err := json.Unmarshal(stored, &in); err != nil {
		return hit, false, fmt.Errorf("screening: again: %w", err)
	}
	for _, b := range s.shelf.books() {
		if b.name == in.List && b.hash == in.ListHash {
			hit, err = again(b.index, in)
			return hit, true, err
		}
	}
	return hit, false, nil
}
