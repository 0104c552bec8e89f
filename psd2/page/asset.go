package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// StaticPrefix is where assets live. A name holds the hash of its content, so
// an answer may be kept for ever and a new release never meets an old file.
const StaticPrefix = "/static/"

var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
	".png": "image/png",
}

type asset struct {
	contentType string
	plain, zip  []byte
}

type assets struct {
	urls  map[string]string // file name → URL
	files map[string]asset  // URL → content
}

// loadAssets reads static/* of each file system.
func loadAssets(files ...fs.FS) (*assets, error) {
	a := &assets{urls: map[string]string{}, files: map[string]asset{}}
	for _, f := range files {
		names, err := fs.Glob(f, "static/*")
		if err != nil {
			return nil, fmt.Errorf("assets: %w", err)
		}
		for _, name := range names {
			if err := a.add(f, name); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

func (a *assets) add(f fs.FS, name string) error {
	content, err := fs.ReadFile(f, name)
	if err != nil {
		return fmt.Errorf("assets: %w", err)
	}
	ext := path.Ext(name)
	kind, ok := assetTypes[ext]
	if !ok {
		return fmt.Errorf("assets: %s: unknown kind of file", name)
	}
	base := path.Base(name)
	sum := sha256.Sum256(content)
	url := StaticPrefix + strings.TrimSuffix(base, ext) + "." + hex.EncodeToString(sum[:6]) + ext
	if _, twice := a.urls[base]; twice {
		return fmt.Errorf("assets: %s is there twice", base)
	}
	a.urls[base] = url
	a.files[url] = asset{contentType: kind, plain: content, zip: zipped(content)}
	return nil
}

func zipped(content []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := w.Write(content); err != nil || w.Close() != nil || b.Len() >= len(content) {
		return nil
	}
	return b.Bytes()
}

// ServeHTTP answers GET and HEAD for assets and merchants' accents.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	file, ok := a.files[r.URL.Path]
	if css, isAccent := accentFile(r.URL.Path); isAccent {
		file, ok = asset{contentType: assetTypes[".css"], plain: css}, true
	}
	if !ok {
		h.Set("Cache-Control", "no-store")
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	h.Set("Content-Type", file.contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	body := file.plain
	if file.zip != nil {
		h.Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = file.zip
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the reader has gone: nothing to do
	}
}
