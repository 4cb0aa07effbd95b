// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/mp4"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/mse"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/ts"
)

// outputs are the ways to read a stream. A new one is a package and a line here.
func outputs() output.Registry {
	return output.Registry{
		"mp4": mp4.New,
		"mse": mse.New,
		"ts":  ts.New,
	}
}
