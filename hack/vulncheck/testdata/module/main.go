// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Command module calls net/url.Parse, and imports path without what testdata/db has against that.
package main

import (
	"fmt"
	"net/url"
	"path"
)

func main() {
	u, err := url.Parse("rtsp://192.0.2.10/stream")
	fmt.Println(u, err, path.Base("x"))
}
