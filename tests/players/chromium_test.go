// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package players

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/tests/camera"
)

// browser is a headless Chromium, driven over the DevTools protocol.
type browser struct {
	t    *testing.T
	ws   *websocket.Conn
	next int
	// session is the page.
	session string
}

// openBrowser starts Chromium on a page. It ends with the test.
func openBrowser(t *testing.T, url string, width, height int) *browser {
	t.Helper()
	path := program(t, "chromium")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--autoplay-policy=no-user-gesture-required", fmt.Sprintf("--window-size=%d,%d", width, height),
		"--remote-debugging-port=0", "--user-data-dir="+t.TempDir(), url)
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	endpoint := ""
	lines := bufio.NewScanner(errs)
	for endpoint == "" && lines.Scan() {
		_, endpoint, _ = strings.Cut(lines.Text(), "DevTools listening on ")
	}
	if endpoint == "" {
		t.Fatal("Chromium did not say where it listens")
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines.Scan() {
		}
	}()
	t.Cleanup(func() { cancel(); <-drained })
	b := &browser{t: t}
	b.ws, _, err = websocket.DefaultDialer.Dial(endpoint, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.ws.Close() })
	b.attach()
	return b
}

// attach finds the page and has all that follows go there.
func (b *browser) attach() {
	b.t.Helper()
	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	b.call("", "Target.getTargets", nil, &targets)
	for _, target := range targets.TargetInfos {
		if target.Type == "page" {
			var page struct{ SessionID string }
			b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &page)
			b.session = page.SessionID
			return
		}
	}
	b.t.Fatal("Chromium has no page")
}

func (b *browser) call(session, method string, params any, result any) {
	b.t.Helper()
	b.next++
	message := map[string]any{"id": b.next, "method": method}
	if params != nil {
		message["params"] = params
	}
	if session != "" {
		message["sessionId"] = session
	}
	_ = b.ws.SetReadDeadline(time.Now().Add(patience))
	if err := b.ws.WriteJSON(message); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := b.ws.ReadJSON(&answer); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		if answer.ID != b.next {
			continue // an event
		}
		if answer.Error != nil {
			b.t.Fatalf("%s: %s", method, answer.Error.Message)
		}
		if err := json.Unmarshal(answer.Result, result); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		return
	}
}

// eval returns the value of a JavaScript expression as text.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var r struct{ Result struct{ Value any } }
	b.call(b.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	return fmt.Sprint(r.Result.Value)
}

// until waits for an expression to become true in the page.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	promise := fmt.Sprintf(`new Promise(done => { const end = Date.now() + %d; const look = () =>
		(%s) ? done(true) : Date.now() > end ? done(false) : setTimeout(look, 100); look() })`, 30_000, expression)
	if b.eval(promise) != "true" {
		b.t.Fatalf("the page never had %s; it says %q", what, b.eval("document.body.innerText"))
	}
}

// screenshot returns what the page looks like, and keeps it as name.png in $SCREENSHOTS, if that is set.
func (b *browser) screenshot(name string) image.Image {
	b.t.Helper()
	var shot struct{ Data string }
	b.call(b.session, "Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), data, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		b.t.Fatal(err)
	}
	return picture
}

// differing counts the pixels in the middle third that differ: where the clock runs.
func differing(a, b image.Image) int {
	n, r := 0, a.Bounds()
	for y := r.Dy() / 3; y < r.Dy()*2/3; y++ {
		for x := r.Dx() / 3; x < r.Dx()*2/3; x++ {
			if a.At(x, y) != b.At(x, y) {
				n++
			}
		}
	}
	return n
}

// Chromium plays the page: it says live, time goes on and the clock in the picture moves.
func TestChromium(t *testing.T) {
	b := openBrowser(t, "about:blank", 1280, 720)
	url := stream(t, "page", camera.Clock)
	var ignored struct{}
	patiently(t, func(context.Context) (string, error) {
		b.call(b.session, "Page.navigate", map[string]any{"url": url}, &ignored)
		b.until("a document", `document.readyState == "complete"`)
		if b.eval(`!!document.getElementById("video")`) != "true" {
			return b.eval("document.body.innerText"), fmt.Errorf("this is not the player")
		}
		return "", nil
	})
	b.until("a running picture", `document.getElementById("video").currentTime > 1 && document.getElementById("stage").dataset.state == "live"`)
	b.until("its facts", `document.getElementById("codecs").textContent.includes("H.264") && /\d/.test(document.getElementById("latency").textContent)`)
	first := b.screenshot("player")
	from := b.eval(`document.getElementById("video").currentTime`)
	b.until("two more seconds", `document.getElementById("video").currentTime > `+from+` + 2`)
	if n := differing(first, b.screenshot("player-later")); n < 500 {
		t.Errorf("only %d pixels have changed in two seconds: the picture stands still", n)
	}
}
