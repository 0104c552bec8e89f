package sandbox

import (
	"bytes"
	"errors"
	"hash/fnv"
	"image"
	"image/color"
	"image/png"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

// takeXML checks a pain.001 with exactly one transfer and puts it into the
// order. Its answers are JSON, as for the JSON product.
func (o *order) takeXML(body []byte) error {
	m, err := iso20022.ReadAs[*iso20022.Initiation](body, iso20022.Strict)
	if err != nil {
		var f *iso20022.Fault
		if errors.As(err, &f) {
			return formatError(f.Path, f.Rule+": "+f.Explanation)
		}
		return formatError("", "the body is not a pain.001.001.09")
	}
	if len(m.Batches) != 1 || len(m.Batches[0].Orders) != 1 {
		return formatError("PmtInf", "a single payment has one PmtInf with one CdtTrfTxInf")
	}
	b := m.Batches[0]
	t := b.Orders[0]
	return o.take(&payment{
		EndToEndID:       t.EndToEndID,
		DebtorAccount:    accountReference{IBAN: string(b.DebtorAccount)},
		InstructedAmount: amount{Currency: t.Amount.Currency, Amount: t.Amount.Decimal()},
		CreditorAccount:  accountReference{IBAN: string(t.CreditorAccount)},
		CreditorAgent:    t.CreditorAgent,
		CreditorName:     t.Creditor.Name,
		Remittance:       t.Remittance.Text,
	})
}

// picture is what a photo method shows: a pattern that belongs to this order
// alone, for the customer to compare with his device.
func picture(o *order) []byte {
	h := fnv.New64a()
	_, _ = h.Write([]byte(o.ID + o.CreditorIBAN + psd2.Euro(o.AmountMinor).Decimal())) // it never fails
	bits := h.Sum64()
	const cells, size = 8, 16
	img := image.NewPaletted(image.Rect(0, 0, cells*size, cells*size), color.Palette{color.White, color.RGBA{0x0f, 0x5f, 0x57, 0xff}})
	for y := range cells * size {
		for x := range cells * size {
			img.SetColorIndex(x, y, uint8(bits>>(y/size*cells+x/size)&1))
		}
	}
	var out bytes.Buffer
	_ = png.Encode(&out, img) // into memory it never fails
	return out.Bytes()
}
