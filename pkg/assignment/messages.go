// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package assignment

import "github.com/kubeedge/datastream/pkg/tunnel"

// The messages between StreamRuleController and CloudDataStream. Both live in cloudcore, so they
// travel as Go values in the content of a beehive message.

// Operations of those messages.
const (
	// OpDirectory carries a NodeDirectory from controller to CloudDataStream.
	OpDirectory = "directory"
	// OpSync asks the controller for every NodeDirectory: CloudDataStream has just started.
	OpSync = "sync"
	// OpSynced carries a Synced: what OpSync asked for is complete.
	OpSynced = "synced"
	// OpWaiting carries a Waiting: why there is no OpSynced yet. It comes again and again.
	OpWaiting = "waiting"
	// OpReport carries a Report from CloudDataStream to the controller.
	OpReport = "report"
	// OpStates carries StreamStates from CloudDataStream to the controller.
	OpStates = "states"
)

// Entry is what the cloud side has to know of one target: that it is there, not where its camera is.
type Entry struct {
	Namespace string
	Rule      string
	RuleUID   string
	Path      string
	Endpoint  string
	// Problem says why the target cannot be served ("endpoint cam-1 does not exist"); empty if it can.
	Problem string
	// Credentials are what the source asks for, as its Secret has them now.
	Credentials tunnel.Credentials
	// CredentialsUnknown says that the source asks for some, and that nobody could read their Secret since the controller started.
	CredentialsUnknown bool
}

// NodeDirectory is the whole set of one node's targets, also those with a problem. An empty one
// means that the node has none any more.
type NodeDirectory struct {
	Node string
	// Revision is that of the assignment that the node shall run.
	Revision string
	Entries  []Entry
	// Refused says why the node is not let in ("the Node was deleted"); empty if it is.
	Refused string
}

// Report is what a node runs, as it said in a tunnel's hello or in its own report.
type Report struct {
	Node     string
	Revision string
	// Tunnels is the number of its tunnels that are connected.
	Tunnels int
}

// StreamState is what one stream does, as far as its rule's status tells.
type StreamState struct {
	Key     tunnel.StreamKey
	RuleUID string
	// State is a tunnel.StreamState, or "away" where no tunnel is connected. Reason and Message say why.
	State   string
	Reason  string
	Message string
	// Codecs are those of the source's tracks, as in RFC 6381 where that has a name for them.
	Codecs  []string
	Viewers int
}

// StreamStates are the states that changed. After each Synced all are sent, since the controller may have just started.
type StreamStates struct {
	// Full says that there are no other streams than these.
	Full    bool
	Streams []StreamState
}

// Synced ends the answer to OpSync.
type Synced struct{}

// Waiting is what the controller waits for before it sends the first NodeDirectory.
type Waiting struct {
	// For is one line without secrets, addresses and user names: everybody may read it.
	For string
}
