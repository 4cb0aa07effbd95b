// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package output

import "context"

type firstPictureKey struct{}

// WithFirstPicture has f called, once, when the viewer whose request has this context has been written its first picture.
func WithFirstPicture(ctx context.Context, f func()) context.Context {
	if before := FirstPicture(ctx); before != nil {
		last := f
		f = func() { before(); last() }
	}
	return context.WithValue(ctx, firstPictureKey{}, f)
}

// FirstPicture returns what an output calls when it has written its first picture to the viewer whose request has this context. It is
// nil if nobody wants to know.
func FirstPicture(ctx context.Context) func() {
	f, _ := ctx.Value(firstPictureKey{}).(func())
	return f
}
