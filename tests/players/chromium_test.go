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
	"github.com/kubeedge/datastream/tests/harness"
)

// browser is a headless Chromium, driven over the DevTools protocol.
type browser struct {
	t    *testing.T
	ws   *websocket.Conn
	next int
	// session is the page.
	session string
}

// openBrowser starts Chromium on an empty page of 1280 by 720 pixels. It ends with the test.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	path := program(t, "chromium")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--autoplay-policy=no-user-gesture-required", "--window-size=1280,720",
		"--remote-debugging-port=0", "--user-data-dir="+t.TempDir(), "about:blank")
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
	_ = b.ws.SetReadDeadline(time.Now().Add(2 * patience)) // longer than until
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
		(%s) ? done(true) : Date.now() > end ? done(false) : setTimeout(look, 100); look() })`, patience.Milliseconds(), expression)
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

// isLive is true in a page whose picture runs and is not behind.
const isLive = `(() => { const v = document.getElementById("video"), b = v.buffered; return document.getElementById("stage").dataset.state == "live" &&
	b.length > 0 && b.end(b.length - 1) - v.currentTime <= 2 })()`

// openPage shows a stream's page.
func (b *browser) openPage(url string) {
	b.t.Helper()
	var ignored struct{}
	patiently(b.t, func(context.Context) (string, error) {
		b.call(b.session, "Page.navigate", map[string]any{"url": url}, &ignored)
		b.until("a document", `document.readyState == "complete"`)
		if b.eval(`!!document.getElementById("video")`) != "true" {
			return b.eval("document.body.innerText"), fmt.Errorf("this is not the player")
		}
		return "", nil
	})
	b.until("a running picture", `document.getElementById("video").currentTime > 1 && `+isLive)
	b.eval(`window.loadedOnce = true`)
}

// runsOn checks that the picture moves, and that the page is still the one that was opened.
func (b *browser) runsOn(name string) {
	b.t.Helper()
	first := b.screenshot(name)
	from := b.eval(`document.getElementById("video").currentTime`)
	b.until("two more seconds", `document.getElementById("video").currentTime > `+from+` + 2 && `+isLive)
	if n := differing(first, b.screenshot(name+"-later")); n < 500 {
		b.t.Errorf("%s: only %d pixels have changed in two seconds: the picture stands still", name, n)
	}
	if b.eval(`!!window.loadedOnce`) != "true" {
		b.t.Errorf("%s: the page was loaded again", name)
	}
}

// Chromium plays the page: it says live, time goes on and the clock in the picture moves.
func TestChromium(t *testing.T) {
	b := openBrowser(t)
	b.openPage(stream(t, "page", camera.Clock))
	b.until("its facts", `document.getElementById("codecs").textContent.includes("H.264") && /\d/.test(document.getElementById("latency").textContent)`)
	b.runsOn("player")
}

// The tunnel is away for some seconds: the page says so and how old its picture is, and is live again by itself.
func TestChromiumTunnelLost(t *testing.T) {
	b := openBrowser(t)
	b.openPage(stream(t, "tunnel-lost", camera.Clock))
	b.screenshot("live")
	cluster.Proxy.SetDown(true)
	t.Cleanup(func() { cluster.Proxy.SetDown(false) })
	const notice = `document.getElementById("notice").innerText`
	b.until("a word about it", `document.getElementById("stage").dataset.state == "reconnecting" && `+notice+`.includes("Reconnecting…")`)
	b.until("the picture's age", `/[4-9] s old/.test(`+notice+`)`)
	b.screenshot("reconnecting")
	cluster.Proxy.SetDown(false)
	b.until("the picture back", isLive)
	b.runsOn("back")
}

// The cloud is away for some seconds, for the browser: the page dials again by itself.
func TestChromiumServerLost(t *testing.T) {
	proxy, err := harness.NewProxy(cluster.Viewers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	b := openBrowser(t)
	b.openPage(strings.Replace(stream(t, "server-lost", camera.Clock), cluster.Viewers, proxy.Address(), 1))
	proxy.SetDown(true)
	b.until("a word about it", `document.getElementById("notice").innerText.match(/Reconnecting…\s+The picture is ([3-9]|\d\d) s old/)`)
	b.screenshot("server-lost")
	proxy.SetDown(false)
	b.until("the picture back", isLive)
	b.runsOn("server-back")
}

// The camera comes back as another one, in turn: other resolution and B-frames, no sound, and sound again. The page follows.
func TestChromiumCameraChanges(t *testing.T) {
	b := openBrowser(t)
	url, cam := streamOf(t, "changes", camera.Config{Clip: load(t, camera.Clock)})
	b.openPage(url)
	silent := load(t, camera.Clock).Only((*camera.Track).IsVideo)
	for _, c := range []struct {
		name  string
		clip  *camera.Clip
		width int
		sound bool
	}{
		{"smaller", load(t, camera.ClockBFrame), 640, true},
		{"silent", silent, 1280, false},
		{"loud", load(t, camera.ClockBFrame), 640, true},
	} {
		cam.Close()
		var err error
		if cam, err = camera.Start(camera.Config{Address: cam.Address(), Clip: c.clip}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cam.Close)
		b.until("the "+c.name+" picture", fmt.Sprintf(
			`document.getElementById("video").videoWidth == %d && document.getElementById("codecs").textContent.includes("AAC") == %t && %s`, c.width, c.sound, isLive))
		b.runsOn(c.name)
	}
}
