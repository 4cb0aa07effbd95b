// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Codecs of the cameras.
const (
	codec1 = "H.264"
	codec2 = "H.265"
)

// enough video frames to say that a stream plays: a second of the cameras' clips.
const enough = 25

// play reads video frames at a URL until there are enough of them, and returns their codec.
func play(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?format=ts", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", refusal(resp)
	}
	r := &mpegts.Reader{R: resp.Body}
	if err := r.Initialize(); err != nil {
		return "", fmt.Errorf("reading MPEG-TS: %w", err)
	}
	codec, frames := "", 0
	count := func(name string) func(int64, int64, [][]byte) error {
		return func(int64, int64, [][]byte) error {
			codec = name
			frames++
			return nil
		}
	}
	for _, track := range r.Tracks() {
		switch track.Codec.(type) {
		case *mpegts.CodecH264:
			r.OnDataH264(track, count(codec1))
		case *mpegts.CodecH265:
			r.OnDataH265(track, count(codec2))
		}
	}
	for frames < enough {
		if err := r.Read(); err != nil {
			return "", fmt.Errorf("after %d frames: %w", frames, err)
		}
	}
	return codec, nil
}

// statusError is an answer of the viewers' port other than the stream.
type statusError struct {
	metav1.Status
	retryAfter string
}

func (e *statusError) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Message) }

// about fails the test unless the answer is about that part of the URL.
func (e *statusError) about(t *testing.T, part string) {
	t.Helper()
	if e.Details == nil || e.Details.Kind != part {
		t.Errorf("the answer %q has details %+v, want the kind %q", e.Message, e.Details, part)
	}
}

func refusal(resp *http.Response) error {
	e := &statusError{retryAfter: resp.Header.Get("Retry-After")}
	if err := json.NewDecoder(resp.Body).Decode(&e.Status); err != nil {
		return fmt.Errorf("%s, and reading why: %w", resp.Status, err)
	}
	return e
}

// plays waits until a URL shows frames of that codec, and returns how long that took.
func plays(t *testing.T, url, want string) time.Duration {
	t.Helper()
	return eventually(t, "frames of "+url, func(ctx context.Context) error {
		got, err := play(ctx, url)
		if err == nil && got != want {
			err = fmt.Errorf("frames are %s, want %s", got, want)
		}
		return err
	})
}

// refused waits until a URL is answered with this code and a message with this in it, and returns the answer. What comes before may be for another reason.
func refused(t *testing.T, url string, code int32, hint string) *statusError {
	t.Helper()
	var answer *statusError
	eventually(t, fmt.Sprintf("%d at %s", code, url), func(ctx context.Context) error {
		_, err := play(ctx, url)
		switch {
		case err == nil:
			return errors.New("it plays")
		case !errors.As(err, &answer) || answer.Code != code || !strings.Contains(answer.Message, hint):
			return fmt.Errorf("the answer is %w, want a hint with %q", err, hint)
		}
		return nil
	})
	return answer
}
