package api

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/store"
)

// What refunds and payouts have in common.

type transferList struct {
	Data       []psd2.TransferView `json:"data"`
	NextCursor *string             `json:"next_cursor"` // null on the last page
}

// createTransfer writes key, transfer and answer in one transaction.
func (a *room) createTransfer(c echo.Context, o *order, path, prefix string, build func(*store.Tx) (*psd2.Transfer, error)) error {
	ans, err := a.once(c, o, func(tx *store.Tx) (*answer, error) {
		t, err := build(tx)
		if err != nil {
			return nil, err
		}
		return jsonAnswer(http.StatusCreated, t.View())
	})
	if err != nil {
		return err
	}
	a.Hub.TransferMade()
	id := idOf(prefix, ans.body)
	edge.Annotate(c.Request().Context(), "transfer_id", id)
	ans.location = path + id
	return ans.write(c)
}

// transfer finds the merchant's own one that the path names.
func (a *room) transfer(c echo.Context, who *call, kind psd2.TransferKind) (*psd2.Transfer, error) {
	if _, err := query(c.Request()); err != nil {
		return nil, err
	}
	t, err := a.Hub.Transfer(c.Request().Context(), who.merchant.ID, kind, c.Param("id"))
	if err == nil {
		edge.Annotate(c.Request().Context(), "transfer_id", t.ID)
	}
	return t, err
}

func (a *room) getTransfer(kind psd2.TransferKind) func(echo.Context, *call) error {
	return func(c echo.Context, who *call) error {
		t, err := a.transfer(c, who, kind)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, t.View())
	}
}

// recallRequest is the body of POST /v1/refunds/{id}/recall and of
// POST /v1/payouts/{id}/recall.
type recallRequest struct {
	Reason psd2.RecallReason `json:"reason"`
}

func (a *room) recallTransfer(kind psd2.TransferKind) func(echo.Context, *order) error {
	return func(c echo.Context, o *order) error {
		t, err := a.transfer(c, o.call, kind)
		if err != nil {
			return err
		}
		var wish recallRequest
		invalid := edge.DecodeStrict(o.body, &wish)
		ans, err := a.once(c, o, func(tx *store.Tx) (*answer, error) {
			if invalid != nil {
				return nil, invalid
			}
			t, err := a.Hub.RecallIn(tx, o.merchant.ID, kind, t.ID, wish.Reason)
			if err != nil {
				return nil, err
			}
			return jsonAnswer(http.StatusOK, t.View())
		})
		if err != nil {
			return err
		}
		a.Hub.TransferMade()
		return ans.write(c)
	}
}

func (a *room) writeTransfers(c echo.Context, f store.TransferFilter) error {
	transfers, next, err := a.Store.Transfers(c.Request().Context(), f)
	if err != nil {
		return err
	}
	list := transferList{Data: make([]psd2.TransferView, 0, len(transfers))}
	for _, t := range transfers {
		list.Data = append(list.Data, t.View())
	}
	if next != "" {
		list.NextCursor = &next
	}
	return c.JSON(http.StatusOK, list)
}

// transferFilter reads the parameters that lists of transfers share.
func transferFilter(q map[string]string, kind psd2.TransferKind, prefix string) (f store.TransferFilter, err error) {
	f = store.TransferFilter{Kind: kind, State: psd2.TransferState(q["status"]), PlayerReference: q["player_reference"],
		Reference: q["reference"], EndToEndID: q["end_to_end_id"], Cursor: q["cursor"]}
	if _, given := q["status"]; given && !slices.Contains(psd2.TransferStates, f.State) {
		return f, psd2.Invalid("status", "status_unknown", "there is no such status")
	}
	if _, given := q["cursor"]; given && !psd2.IsID(prefix, f.Cursor) {
		return f, psd2.Invalid("cursor", "cursor_invalid", "take the cursor from next_cursor of the page before")
	}
	if err := checkFilterText(q, "player_reference", "reference", "end_to_end_id"); err != nil {
		return f, err
	}
	f.Limit, err = limitOf(q)
	return f, err
}
