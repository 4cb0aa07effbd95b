// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/kubeedge/datastream/tests/monitoring/render"
)

// draw lets the load go on for a while, with an outage of the tunnels and a time of slow ones, and draws the dashboard with Chromium.
func draw(t *testing.T, prometheus render.Prometheus, d *render.Dashboard) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	wait := func(d time.Duration) {
		t.Helper()
		select {
		case <-t.Context().Done():
		case <-time.After(d):
		}
	}
	wait(*load / 3)
	cluster.Proxy.SetDown(true)
	wait(*load / 20)
	cluster.Proxy.SetDown(false)
	wait(*load / 4)
	cluster.Proxy.Rate(8<<10, 0) // less than the greatest stream needs
	wait(*load / 6)
	cluster.Proxy.Rate(0, 0)
	wait(*load / 5)
	to := time.Now()
	page, height, err := d.Page(t.Context(), prometheus, from, to, max(*load/150, time.Second), rateInterval)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1",
		fmt.Sprintf("--window-size=%d,%d", render.Width, height), "--user-data-dir="+t.TempDir(), "--screenshot="+*screenshot, "file://"+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, out)
	}
	if err := shrink(*screenshot); err != nil {
		t.Fatal(err)
	}
}

// shrink gives a PNG a palette of its 256 most frequent colours: a third of the bytes, and nobody sees it.
func shrink(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	full, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return err
	}
	bounds, count := full.Bounds(), map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(full.At(x, y)).(color.RGBA) }
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	frequent := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(count[b]-count[a], int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B))
	})
	index := make(map[color.RGBA]uint8, len(count))
	var palette color.Palette
	for i, c := range frequent {
		if i < 256 {
			palette = append(palette, c)
		}
		index[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			small.SetColorIndex(x, y, index[at(x, y)])
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		return err
	}
	return os.WriteFile(file, out.Bytes(), 0o600)
}
