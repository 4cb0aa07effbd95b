// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	// lookInterval is how often lists are looked at that are not there yet.
	lookInterval = 100 * time.Millisecond
	// tellEach is after how many looks CloudDataStream is told of them, again and again: modules start in any order, and what is sent to one that
	// is not there is lost.
	tellEach = 10
)

// listing is something that has to be read before the controller can say anything.
type listing struct {
	what   string // the plural, in the middle of a sentence
	synced cache.InformerSynced
	last   atomic.Pointer[string] // why it could not be read the last time; nil if nothing is known of that
}

// follow has the listing know of the informer's errors. The informer has not been started.
func (l *listing) follow(informer cache.SharedIndexInformer) {
	must(informer.SetWatchErrorHandler(func(r *cache.Reflector, err error) {
		why := brief(err)
		l.last.Store(&why)
		cache.DefaultWatchErrorHandler(r, err) // has it logged
	}))
}

// brief is an error in a few words for everybody: addresses and user names stay in the log.
func brief(err error) string {
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return string(reason)
	}
	return "the API server cannot be asked"
}

// notListed says in one line which of all are not there yet. It is empty if all are.
func notListed(all []*listing) string {
	var lines []string
	for _, l := range all {
		if l.synced() {
			continue
		}
		line := l.what + " not listed yet"
		if why := l.last.Load(); why != nil {
			line += ": " + *why
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

// await returns when all are there. tell is called from time to time with what is not. It reports false if ctx ends first.
func await(ctx context.Context, all []*listing, tell func(what string)) bool {
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	for n := 1; ; n++ {
		lacking := notListed(all)
		if lacking == "" {
			return ctx.Err() == nil
		}
		if n%tellEach == 0 {
			tell(lacking)
		}
		select {
		case <-ctx.Done():
			return false
		case <-look.C:
		}
	}
}
