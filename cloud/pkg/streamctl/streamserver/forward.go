// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// forward opens a port of the loopback that leads to the StreamServer in cloudcore's pod, until end is called.
func forward(ctx context.Context, api *rest.Config, o Options) (address string, end func(), err error) {
	client, err := kubernetes.NewForConfig(api)
	if err != nil {
		return "", nil, &ConnectError{Unreachable, "kubectl cluster-info", fmt.Errorf("making a client of the API server: %w", err)}
	}
	pod, err := findPod(ctx, client, o)
	if err != nil {
		return "", nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(api)
	if err != nil {
		return "", nil, &ConnectError{Unreachable, "kubectl cluster-info", fmt.Errorf("making a port-forward: %w", err)}
	}
	to := client.CoreV1().RESTClient().Post().Namespace(o.Namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, to)

	stop, ready, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{":" + strconv.Itoa(o.Port)}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		return "", nil, &ConnectError{Unreachable, "kubectl streams doctor --cloudcore-port 10005", fmt.Errorf("making a port-forward: %w", err)}
	}
	go func() { done <- forwarder.ForwardPorts() }()
	select {
	case err := <-done:
		return "", nil, o.forwardError(pod, err)
	case <-ctx.Done():
		close(stop)
		return "", nil, o.forwardError(pod, ctx.Err())
	case <-ready:
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		close(stop)
		return "", nil, o.forwardError(pod, errors.Join(err, <-done))
	}
	end = func() {
		close(stop)
		<-done
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local))), end, nil
}

// findPod returns the name of cloudcore's pod.
func findPod(ctx context.Context, client kubernetes.Interface, o Options) (string, error) {
	direct := "kubectl streams doctor --stream-server https://HOST:10005"
	pods, err := client.CoreV1().Pods(o.Namespace).List(ctx, metav1.ListOptions{LabelSelector: o.Selector})
	if apierrors.IsForbidden(err) {
		return "", o.forbidden(err)
	}
	if err != nil {
		return "", &ConnectError{Unreachable, direct, fmt.Errorf("looking for cloudcore's pod: %w", err)}
	}
	for i := range pods.Items {
		if running(&pods.Items[i]) {
			return pods.Items[i].Name, nil
		}
	}
	if len(pods.Items) > 0 {
		p := &pods.Items[0]
		return "", &ConnectError{Unreachable, fmt.Sprintf("kubectl -n %s describe pod %s", o.Namespace, p.Name),
			fmt.Errorf("cloudcore's pod %s is %s, not ready", p.Name, strings.ToLower(string(p.Status.Phase)))}
	}
	return "", &ConnectError{Unreachable, direct,
		fmt.Errorf("namespace %s has no pod with the labels %s: name the StreamServer's URL where cloudcore does not run in the cluster", o.Namespace, o.Selector)}
}

func running(p *corev1.Pod) bool {
	if p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (o *Options) forwardError(pod string, err error) error {
	// The forwarder gives the API server's refusal as text only.
	if text := err.Error(); strings.Contains(text, "forbidden") || strings.Contains(text, "Forbidden") {
		return o.forbidden(err)
	}
	return &ConnectError{Unreachable, fmt.Sprintf("kubectl -n %s port-forward pod/%s %d", o.Namespace, pod, o.Port),
		fmt.Errorf("forwarding a port to pod %s: %w", pod, err)}
}

func (o *Options) forbidden(err error) error {
	return &ConnectError{NoRightToForward, "kubectl streams doctor --stream-server https://HOST:10005",
		fmt.Errorf("you may not reach cloudcore's pod through the API server, so name the StreamServer's URL: %w", err)}
}
