// Package page is the one visual language of every Rialto page: tokens and
// parts as CSS and templates, texts in German and English, formats of money
// and time, hashed assets, and the headers a page leaves with. It knows no
// payment and no route; rooms bring their pages, texts and scripts:
//
//	set, err := page.New(page.Room{Files: embedded, Provider: provider})
//	set.Render(w, page.Page{Name: "confirm", Title: …, Lang: lang, Self: r.URL, Data: …})
//	mux.Handle("/static/", set.Assets())
//
// A room's file system holds
//
//	pages/NAME.html      one page each; defines "main", shown inside the frame
//	parts/*.html         templates shared by the room's pages
//	text/de.txt, en.txt  "key = text with {placeholders}", one key one text
//	static/*             assets, served under their content's hash
//
// New fails when the languages have different keys or placeholders, or when a
// template names a text that does not exist, so a page cannot find out later.
//
// Functions in templates, bound to the page's language:
//
//	t KEY [NAME VALUE]…   text as HTML; values are escaped and isolated in <bdi>
//	tt KEY [NAME VALUE]…  the same as plain text, for titles and attributes
//	tn KEY N              KEY.one or KEY.other with {n}
//	bdi STRING            foreign text, isolated (Unicode TR 36)
//	money M, words M      25,00 € / €25.00; the same in words for screen readers
//	date T, clock T, moment T, iso T, minutes D
//	asset NAME, lang, args NAME VALUE…
//
// Parts (parts/*.html), each called with args: "steps" "amount" "iban" "facts"
// "bank" "monogram" "field" "codefield" "notice" "badge" "table" "timeline"
// "empty" "money".
//
// Without JavaScript everything works. Inline scripts and styles do not exist:
// the policy of csp.go forbids them, and Trusted Types forbid their making.
//
// Neighbours: psd2/consent, psd2/ops and the other rooms with pages build on
// it; it imports psd2 only.
package page
