// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/kubeedge/datastream/pkg/media"
)

// MaxMessage bounds a control message in bytes.
const MaxMessage = 64 << 10

// Message is a control message: *Hello, *Tracks, *State, *Desired, *Ack or *Unknown.
type Message interface{ messageType() string }

// Hello is the first message of the edge on every connection.
type Hello struct {
	Node string `json:"node"`
	// RuleUID is the UID of the StreamRule, so that a rule that was deleted and made again is told apart.
	RuleUID string `json:"ruleUID"`
	// Revision is the assignment that the node runs.
	Revision string `json:"revision"`
	// Epoch grows with each dial of a target, over restarts too. The newest one wins.
	Epoch uint64 `json:"epoch"`
}

// Tracks describes the stream. It comes before the first access unit and again when codec parameters change.
type Tracks struct {
	Tracks []media.Track `json:"tracks"`
	// Skipped are the tracks of the source that nobody here can carry.
	Skipped []SkippedTrack `json:"skipped,omitempty"`
}

// SkippedTrack is a track of the source that is not sent, and why.
type SkippedTrack struct {
	Codec  string `json:"codec"`
	Reason string `json:"reason"`
}

// StreamState is what the source is doing.
type StreamState string

// The states of a source.
const (
	Idle       StreamState = "idle"
	Connecting StreamState = "connecting"
	Streaming  StreamState = "streaming"
	Paused     StreamState = "paused"
	Failed     StreamState = "failed"
)

// State tells the cloud what the source does, after each change and once behind Hello.
type State struct {
	State StreamState `json:"state"`
	// Reason is one CamelCase word for programs, Message a sentence for people. Neither holds credentials.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Generation is that of the Desired message that the source follows.
	Generation uint64 `json:"generation"`
}

// Action is what the cloud wants a source to do.
type Action string

// The actions. A channel that has heard none yet behaves as if it was told to stop.
const (
	Start Action = "start"
	Pause Action = "pause"
	Stop  Action = "stop"
)

// Desired is the whole desired state of a source. It is sent after each Hello and whenever it changes.
type Desired struct {
	Action     Action `json:"action"`
	Generation uint64 `json:"generation"`
	// Traceparent names the trace that a start belongs to (W3C Trace Context, 3.2); empty if it is not traced.
	Traceparent string `json:"traceparent,omitempty"`
	// Credentials are those that the source asks for. They come with Start and Pause only, and count until a Stop or others. A cloud
	// that does not know them yet sends none.
	Credentials Credentials `json:"credentials,omitzero"`
}

// Ack reports what reached the cloud on this connection.
type Ack struct {
	// Sequence is the highest one received.
	Sequence uint64 `json:"sequence"`
	// Bytes counts payload bytes since the connection began.
	Bytes uint64 `json:"bytes"`
	// Received is when, in microseconds since 1970 by the cloud's clock.
	Received int64 `json:"received"`
}

// Unknown is a message of a type that this version does not know. Receivers ignore it.
type Unknown struct {
	Type string `json:"-"`
}

func (*Hello) messageType() string     { return "hello" }
func (*Tracks) messageType() string    { return "tracks" }
func (*State) messageType() string     { return "state" }
func (*Desired) messageType() string   { return "desired" }
func (*Ack) messageType() string       { return "ack" }
func (u *Unknown) messageType() string { return u.Type }

// EncodeMessage renders {"type": …, …the message's fields}.
func EncodeMessage(m Message) ([]byte, error) {
	body, err := json.Marshal(onWire(m))
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", m.messageType(), err)
	}
	name, err := json.Marshal(m.messageType())
	if err != nil {
		return nil, fmt.Errorf("encoding type %q: %w", m.messageType(), err)
	}
	head := append([]byte(`{"type":`), name...)
	if len(body) > 2 {
		head = append(head, ',')
	}
	out := slices.Concat(head, body[1:])
	if len(out) > MaxMessage {
		return nil, fmt.Errorf("encoding %s: %d bytes, at most %d are allowed", m.messageType(), len(out), MaxMessage)
	}
	return out, nil
}

// onWire is m with what its own encoding shows a placeholder for.
func onWire(m Message) any {
	d, ok := m.(*Desired)
	if !ok || d.Credentials.IsZero() {
		return m
	}
	return struct {
		Desired
		Credentials wireCredentials `json:"credentials"` // in place of the same of Desired
	}{*d, d.Credentials.wire()}
}

// DecodeMessage reads and validates a control message. Errors wrap ErrMalformed.
func DecodeMessage(b []byte) (Message, error) {
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: control message of %d bytes, at most %d are allowed", ErrMalformed, len(b), MaxMessage)
	}
	if !utf8.Valid(b) { // RFC 6455, 8.1; the WebSocket library does not look, and encoding/json replaces it
		return nil, fmt.Errorf("%w: control message that is no UTF-8", ErrMalformed)
	}
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, malformed("control message", err)
	}
	var m Message
	switch head.Type {
	case "":
		return nil, fmt.Errorf("%w: control message without a type", ErrMalformed)
	case "hello":
		m = &Hello{}
	case "tracks":
		m = &Tracks{}
	case "state":
		m = &State{}
	case "desired":
		m = &Desired{}
	case "ack":
		m = &Ack{}
	default:
		return &Unknown{Type: head.Type}, nil
	}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(m); err != nil {
		return nil, malformed(head.Type, err)
	}
	if err := validate(m); err != nil {
		return nil, malformed(head.Type, err)
	}
	return m, nil
}

// malformed keeps the error short: encoding/json quotes numbers of any length.
func malformed(what string, err error) error {
	return fmt.Errorf("%w: %s: %.200s", ErrMalformed, what, err.Error())
}

func validate(m Message) error {
	switch m := m.(type) {
	case *Hello:
		if m.Node == "" || m.Epoch == 0 {
			return fmt.Errorf("node and epoch are required")
		}
	case *Tracks:
		return media.ValidateTracks(m.Tracks)
	case *State:
		switch m.State {
		case Idle, Connecting, Streaming, Paused, Failed:
		default:
			return fmt.Errorf("unknown state %.32q", m.State)
		}
	case *Desired:
		switch m.Action {
		case Start, Pause, Stop:
		default:
			return fmt.Errorf("unknown action %.32q", m.Action)
		}
	}
	return nil
}
