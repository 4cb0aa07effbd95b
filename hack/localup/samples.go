// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubeedge/datastream/hack/localup/cluster"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
)

const (
	// samples are applied by up. Their cameras are at the default ports.
	samples = "docs/samples/local/cameras.yaml"
	// sampleRule is the rule in there.
	sampleRule = "cameras"
	// samplesTimeout is how long up waits until the rule is ready. It usually takes a second or two.
	samplesTimeout = 30 * time.Second
)

// applySamples applies the samples with the cameras' true addresses, and returns the file that has them. It waits until the rule's
// status says that it is ready, so that whoever asks next sees so.
func applySamples(ctx context.Context, c *cluster.Cluster, log io.Writer) (string, error) {
	file, err := writeSamples(c)
	if err != nil {
		return "", err
	}
	config, err := c.Config()
	if err != nil {
		return "", err
	}
	applier, err := cluster.NewApplier(config)
	if err != nil {
		return "", err
	}
	began := time.Now()
	fmt.Fprintf(log, "%-16s", "sample rules")
	if err := applier.ApplyFile(ctx, file); err != nil {
		fmt.Fprintln(log, "failed")
		return "", err
	}
	if err := awaitReady(ctx, config); err != nil {
		fmt.Fprintf(log, "applied, but %v\n", err)
		return file, ctx.Err()
	}
	fmt.Fprintf(log, "ready after %.1f s\n", time.Since(began).Seconds())
	return file, nil
}

// writeSamples writes the samples with this cluster's addresses into its folder.
func writeSamples(c *cluster.Cluster) (string, error) {
	data, err := os.ReadFile(samples)
	if err != nil {
		return "", fmt.Errorf("reading samples: %w", err)
	}
	usual, err := cluster.NewPorts(cluster.DefaultPorts)
	if err != nil {
		return "", err
	}
	defaults := cluster.Cluster{Ports: usual}
	text := strings.NewReplacer(
		defaults.CameraURL(cluster.Camera1), c.CameraURL(cluster.Camera1),
		defaults.CameraURL(cluster.Camera2), c.CameraURL(cluster.Camera2),
		defaults.Viewers(), c.Viewers(),
	).Replace(string(data))
	file := filepath.Join(c.Dir, filepath.Base(samples))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("writing samples: %w", err)
	}
	return file, nil
}

// awaitReady returns when the samples' rule is ready, or with an error that says what it is instead after samplesTimeout.
func awaitReady(ctx context.Context, config *rest.Config) error {
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, samplesTimeout)
	defer cancel()
	rules := client.StreamrulesV1alpha1().StreamRules(metav1.NamespaceDefault)
	return cluster.Poll(ctx, func(ctx context.Context) error {
		rule, err := rules.Get(ctx, sampleRule, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("asking for the rule: %w", err)
		}
		ready := meta.FindStatusCondition(rule.Status.Conditions, v1alpha1.ConditionReady)
		switch {
		case ready == nil:
			return errors.New("the rule has no status yet")
		case ready.Status != metav1.ConditionTrue:
			return fmt.Errorf("the rule is not ready: %s", ready.Message)
		}
		return nil
	})
}
