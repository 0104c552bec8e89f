package screening

import "context"

// AdvanceLate goes on with the open run as it was before something happened.
func (s *Service) AdvanceLate(ctx context.Context, meanwhile func()) error {
	r, err := s.oneRun(ctx, `WHERE open = 1`)
	if err != nil {
		return err
	}
	meanwhile()
	return s.advance(ctx, r, s.shelf.books())
}
