// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
)

// Values of the labels of reviews.
const (
	reviewToken, reviewAccess        = "token", "access"
	reviewYes, reviewNo, reviewError = "yes", "no", "error"
)

// countingReviewer counts what the API server is asked. What is remembered does not come here.
type countingReviewer struct {
	viewerauth.Reviewer
	reviews *prometheus.CounterVec
}

// Authenticate implements viewerauth.Reviewer.
func (c countingReviewer) Authenticate(ctx context.Context, token string) (*viewerauth.User, error) {
	user, err := c.Reviewer.Authenticate(ctx, token)
	c.count(reviewToken, user != nil, err)
	return user, err
}

// Authorize implements viewerauth.Reviewer.
func (c countingReviewer) Authorize(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	yes, err := c.Reviewer.Authorize(ctx, spec)
	c.count(reviewAccess, yes, err)
	return yes, err
}

func (c countingReviewer) count(kind string, yes bool, err error) {
	result := reviewNo
	switch {
	case err != nil:
		result = reviewError
	case yes:
		result = reviewYes
	}
	c.reviews.WithLabelValues(kind, result).Inc()
}
