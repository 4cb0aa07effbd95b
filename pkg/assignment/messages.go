// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package assignment

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
	// OpReport carries a Report from CloudDataStream to the controller.
	OpReport = "report"
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
}

// NodeDirectory is the whole set of one node's targets, also those with a problem. An empty one
// means that the node has none any more.
type NodeDirectory struct {
	Node string
	// Revision is that of the assignment that the node shall run.
	Revision string
	Entries  []Entry
}

// Report is what a node runs, as it said in a tunnel's hello or in its own report.
type Report struct {
	Node     string
	Revision string
	// Tunnels is the number of its tunnels that are connected.
	Tunnels int
}

// Synced ends the answer to OpSync.
type Synced struct{}
