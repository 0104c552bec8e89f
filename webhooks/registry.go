package webhooks

import (
	"sync"

	"github.com/rialto-hub/rialto/psd2/store"
)

// registry is all endpoints as of a revision, ready for use.
type registry struct {
	mu         sync.RWMutex
	loaded     bool
	revision   int64
	byID       map[string]*endpoint
	byMerchant map[string][]*endpoint
}

// refresh reads the endpoints again if they have changed. Within the
// transaction that fans events out this makes an endpoint's registration and
// the events after it exact.
func (s *Service) refresh(tx *store.Tx) error {
	r := &s.registry
	revision, err := tx.Cursor(revisionCursor)
	if err != nil {
		return err
	}
	r.mu.RLock()
	same := r.loaded && r.revision == revision
	r.mu.RUnlock()
	if same {
		return nil
	}
	var rows []endpointRow
	if err := tx.Select(&rows, `SELECT `+endpointColumns+` FROM webhook_endpoints WHERE state <> 'deleted' ORDER BY id`); err != nil {
		return err
	}
	byID, byMerchant := make(map[string]*endpoint, len(rows)), map[string][]*endpoint{}
	for _, row := range rows {
		decoded := s.readable(row)
		if decoded.Reason == ReasonUnreadable {
			e := &endpoint{Endpoint: *decoded, shard: shardOf(row.ID)}
			byID[e.ID] = e
			byMerchant[e.MerchantID] = append(byMerchant[e.MerchantID], e)
			continue
		}
		e, err := s.guard.prepare(*decoded)
		if err != nil {
			// The operator has narrowed what is allowed: its events wait.
			s.deps.Log.Warn("webhooks: endpoint is not allowed any more", "endpoint", row.ID, "cause", err.Error())
			e = &endpoint{Endpoint: *decoded, shard: shardOf(row.ID)}
			e.State = EndpointPaused
		}
		byID[e.ID] = e
		byMerchant[e.MerchantID] = append(byMerchant[e.MerchantID], e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded, r.revision, r.byID, r.byMerchant = true, revision, byID, byMerchant
	return nil
}

func (r *registry) of(merchantID string) []*endpoint {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byMerchant[merchantID]
}

func (r *registry) all() (list map[string]*endpoint, revision int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID, r.revision
}
