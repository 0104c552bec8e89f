package app

import (
	"bytes"
	"html/template"
	"net/url"

	"github.com/rialto-hub/rialto/psd2/page"
)

// receipt is GET /sca/receipt: a page that checks one in the browser.
func (v *visit) receipt() error {
	return v.show(page.Page{Name: "receipt", Title: v.say("receipt.title"), Self: &url.URL{Path: "/sca/receipt"}, Scripts: []string{"receipt.js"}})
}

// receiptKeys is the JWKS of every key that ever signed a receipt.
func (v *visit) receiptKeys() error {
	jwks, err := v.SCA.ReceiptKeys(v.ctx())
	if err != nil {
		return err
	}
	v.Response().Header().Set("Content-Type", "application/jwk-set+json")
	_, err = v.Response().Write(jwks)
	return err
}

// savedReceipt is the same page as one file that needs nothing else: saved, it
// checks receipts by keys that were saved too, with no network. Its own policy
// lets it load nothing.
var savedReceipt = template.Must(template.New("").Parse(`<!doctype html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>{{call .Say "receipt.title"}}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:0 auto;padding:1rem}textarea{width:100%;min-height:8rem}button{font:inherit;padding:.75rem 1.5rem}[data-text]{white-space:pre-line}</style>
</head>
<body>
<h1>{{call .Say "receipt.title"}}</h1>
<p>{{call .Say "receipt.lead"}} {{call .Say "receipt.saved"}}</p>
<form data-receipt hidden data-good="{{call .Say "receipt.good"}}" data-bad="{{call .Say "receipt.bad"}}">
<p><label for="receipt">{{call .Say "receipt.receipt"}}</label><textarea id="receipt" name="receipt" required spellcheck="false"></textarea></p>
<p><label for="jwks">{{call .Say "receipt.keys"}}</label><textarea id="jwks" name="jwks" required spellcheck="false"></textarea></p>
<p><button data-test="check">{{call .Say "receipt.check"}}</button></p></form>
<p role="status" data-said></p>
<p data-text></p>
<script>{{.Script}}</script>
</body>
</html>
`))

// receiptFile is GET /sca/receipt/file.
func (v *visit) receiptFile() error {
	script, err := files.ReadFile("static/receipt.js")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	err = savedReceipt.Execute(&b, map[string]any{"Lang": v.lang, "Script": template.JS(script), //nolint:gosec // our own file
		"Say": func(key string) string { return v.say(key) }})
	if err != nil {
		return err
	}
	v.Response().Header().Set("Content-Type", "text/html; charset=utf-8")
	v.Response().Header().Set("Content-Disposition", `attachment; filename="rialto-receipt.html"`)
	_, err = v.Response().Write(b.Bytes())
	return err
}
