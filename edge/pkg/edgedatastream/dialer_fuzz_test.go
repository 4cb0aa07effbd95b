// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"net/http"
	"testing"
	"time"
)

// FuzzRetryAfter reads the header of that name: the cloud can send a tunnel away for a while, and not for ever.
func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, seed := range []string{
		"", "5", "-1", "0", "99999999999999999999", "1e9", now.Add(time.Minute).Format(http.TimeFormat), "Fri, 31 Dec 9999 23:59:59 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
	} {
		f.Add(seed, "")
	}
	f.Add("5", "6")
	f.Fuzz(func(t *testing.T, first, second string) {
		h := http.Header{"Retry-After": {first, second}}
		if d := retryAfter(h, now); d < 0 || d > maxRetryAfter {
			t.Errorf("%q: %v", first, d)
		}
		if d := refusal(&http.Response{StatusCode: http.StatusServiceUnavailable, Header: h}).retryAfter; d < 0 || d > maxRetryAfter+time.Second {
			t.Errorf("%q: %v with its spread", first, d)
		}
	})
}
