// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import "github.com/kubeedge/datastream/pkg/media"

// Resync lets pass those units of one track that can be decoded from what has passed before. The zero
// value has missed nothing.
type Resync struct {
	waiting bool
	leading bool
	from    int64
}

// Miss says that a unit which others refer to will not pass.
func (r *Resync) Miss() { r.waiting = true }

// Waiting says whether nothing passes before the next random access point.
func (r *Resync) Waiting() bool { return r.waiting }

// Admit says whether u can be decoded, and takes note of it if so. Behind a random access point that ends a
// gap there may be leading pictures, which come before it in presentation order and refer to pictures before
// it (ITU-T H.265, 3.72: RASL); those do not pass either.
func (r *Resync) Admit(u *media.AccessUnit) bool {
	switch {
	case u.RandomAccess:
		r.leading = r.waiting
		r.waiting, r.from = false, u.PTS
		return true
	case r.waiting:
		return false
	case r.leading && u.PTS < r.from:
		return false
	default:
		r.leading = false // trailing pictures never refer to leading ones
		return true
	}
}
