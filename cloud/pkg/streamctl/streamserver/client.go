// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package streamserver is a client of cloudcore's StreamServer: as viewers use it, directly or through the API server.
package streamserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// maxAnswer bounds what is read of an answer that is not a stream, in bytes.
const maxAnswer = 1 << 20

// Credential is what the client proves with who it is.
type Credential string

const (
	// CredentialToken is a bearer token.
	CredentialToken Credential = "token"
	// CredentialCertificate is a client certificate. The StreamServer may know none.
	CredentialCertificate Credential = "certificate"
	// CredentialNone is nothing: the kubeconfig has neither.
	CredentialNone Credential = "none"
	// CredentialWithheld is a token that is not sent, since the way to the StreamServer is not encrypted.
	CredentialWithheld Credential = "withheld"
)

// Client asks one StreamServer. Its errors are those of the connection, or *apierrors.StatusError with what the server says.
type Client struct {
	base       *url.URL
	http       *http.Client
	credential Credential
	forwarded  bool
	close      func()
}

// Address is the StreamServer's URL.
func (c *Client) Address() string { return c.base.String() }

// Forwarded says whether the address ends with the client.
func (c *Client) Forwarded() bool { return c.forwarded }

// Credential is what the client proves with who it is.
func (c *Client) Credential() Credential { return c.credential }

// Close ends the client's connections, and a port-forward.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.close()
}

// URL is where a stream is watched. query may be nil.
func (c *Client) URL(key tunnel.StreamKey, query url.Values) string {
	u := *c.base
	u.Path = Path(key)
	u.RawQuery = query.Encode()
	return u.String()
}

// Path is the path of a stream's URL.
func Path(key tunnel.StreamKey) string {
	path := "/node/" + key.Node + "/" + key.Rule + key.Path
	if key.Namespace != metav1.NamespaceDefault {
		path = "/namespaces/" + key.Namespace + path
	}
	return path
}

// Ready fails unless the server knows its rules. It sends no credentials.
func (c *Client) Ready(ctx context.Context) error {
	resp, err := c.do(ctx, http.MethodGet, c.base.JoinPath("/readyz").String(), "")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// State returns what a stream does.
func (c *Client) State(ctx context.Context, key tunnel.StreamKey) (*output.Status, error) {
	status := new(output.Status)
	return status, c.ask(ctx, http.MethodGet, c.URL(key, url.Values{"format": {"state"}}), "", status)
}

// Controlled is the answer to a control call.
type Controlled struct {
	// Desired is what the edge is now asked for.
	Desired tunnel.Action `json:"desired"`
	output.Status
}

// Control does start, pause, resume or stop.
func (c *Client) Control(ctx context.Context, key tunnel.StreamKey, action string) (*Controlled, error) {
	body, err := json.Marshal(map[string]string{"action": action})
	if err != nil {
		return nil, fmt.Errorf("encoding the action: %w", err)
	}
	answer := new(Controlled)
	return answer, c.ask(ctx, http.MethodPost, c.URL(key, nil), string(body), answer)
}

// Ticket returns a ticket for watching, for those who cannot send headers. It is empty where viewers are not authenticated.
func (c *Client) Ticket(ctx context.Context, key tunnel.StreamKey) (ticket string, expires time.Time, err error) {
	var answer struct {
		Ticket  string    `json:"ticket"`
		Expires time.Time `json:"expires"`
	}
	err = c.ask(ctx, http.MethodPost, c.URL(key, nil)+"/ticket", "", &answer)
	if apierrors.IsConflict(err) {
		return "", time.Time{}, nil
	}
	return answer.Ticket, answer.Expires, err
}

// Watch makes the caller a viewer until the body is closed, or ctx ends. format is that of an output, such as mp4.
func (c *Client) Watch(ctx context.Context, key tunnel.StreamKey, format string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, c.URL(key, url.Values{"format": {format}}), "")
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func (c *Client) ask(ctx context.Context, method, to, body string, answer any) error {
	resp, err := c.do(ctx, method, to, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("decoding the StreamServer's answer: %w", err)
	}
	return nil
}

// do returns an answer that is no refusal.
func (c *Client) do(ctx context.Context, method, to, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking the StreamServer: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // the URL is no news, and may hold a ticket
		}
		return nil, fmt.Errorf("asking the StreamServer at %s: %w", c.base.Host, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp, nil
}

// refusal is what an answer says that is not 200.
func refusal(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the StreamServer's answer: %w", err)
	}
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil || status.Kind != "Status" {
		status = metav1.Status{Message: fmt.Sprintf("the StreamServer answers %s: %.200s", resp.Status, strings.TrimSpace(string(body)))}
	}
	status.Status, status.Code = metav1.StatusFailure, int32(resp.StatusCode)
	return &apierrors.StatusError{ErrStatus: status}
}
