// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package player is the page on which browsers watch a stream: static files, without a build step.
package player

import (
	"embed"
	"io/fs"
)

//go:embed index.html assets
var files embed.FS

// ContentSecurityPolicy is what the page needs and no more. Media and snapshots are blobs. Whoever serves it adds frame-ancestors.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; " +
	"media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'"

// Page returns the HTML page, for the URL of any stream. It finds all else from its own URL, and its
// files under /assets/.
func Page() []byte {
	page, err := files.ReadFile("index.html")
	if err != nil {
		panic(err) // it is embedded
	}
	return page
}

// Assets returns the files to be served under /assets/.
func Assets() fs.FS {
	assets, err := fs.Sub(files, "assets")
	if err != nil {
		panic(err) // the path is valid
	}
	return assets
}
