// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// DefaultPorts is the base at which CloudHub and CloudDataStream have the ports that KubeEdge gives them.
const DefaultPorts = 10000

// Ports of a cluster, all on the loopback.
type Ports struct {
	CloudHub   int `json:"cloudHub"`   // base
	CloudHTTPS int `json:"cloudHTTPS"` // base + 2
	Viewers    int `json:"viewers"`    // base + 5
	Tunnel     int `json:"tunnel"`     // base + 6
	Monitor    int `json:"monitor"`    // base + 7
	APIServer  int `json:"apiServer"`  // base + 8
	Etcd       int `json:"etcd"`       // base + 9
	EtcdPeer   int `json:"etcdPeer"`   // base + 10
	Camera1    int `json:"camera1"`    // base + 11
	Camera2    int `json:"camera2"`    // base + 12
	Metrics1   int `json:"metrics1"`   // base + 15
	Metrics2   int `json:"metrics2"`   // base + 16
}

// named is one port and what it is for.
type named struct {
	name   string
	port   *int
	offset int
}

func (p *Ports) all() []named {
	return []named{
		{"CloudHub", &p.CloudHub, 0},
		{"CloudHub's HTTPS", &p.CloudHTTPS, 2},
		{"viewers", &p.Viewers, 5},
		{"tunnels", &p.Tunnel, 6},
		{"cloudcore's monitor", &p.Monitor, 7},
		{APIServer, &p.APIServer, 8},
		{Etcd, &p.Etcd, 9},
		{"etcd's peers", &p.EtcdPeer, 10},
		{Camera1, &p.Camera1, 11},
		{Camera2, &p.Camera2, 12},
		{"metrics of " + Edge1, &p.Metrics1, 15},
		{"metrics of " + Edge2, &p.Metrics2, 16},
	}
}

// Where NewPorts looks for free ports: below those that Linux gives to whoever asks for any, from 32768 on. Of those, somebody else
// could get one while the program that had it is down.
const (
	lowestBase  = 12000
	highestBase = 32000
	baseTries   = 100
)

// NewPorts returns the ports that begin with base. With base 0 they are any that are free now.
func NewPorts(base int) (Ports, error) {
	if base != 0 {
		return portsAt(base), nil
	}
	var err error
	for range baseTries {
		p := portsAt(lowestBase + rand.N(highestBase-lowestBase))
		if err = p.free(); err == nil {
			return p, nil
		}
	}
	return Ports{}, fmt.Errorf("finding free ports: %w", err)
}

func portsAt(base int) Ports {
	var p Ports
	for _, n := range p.all() {
		*n.port = base + n.offset
	}
	return p
}

// free fails if one of the ports is in use.
func (p *Ports) free() error {
	for _, n := range p.all() {
		l, err := net.Listen("tcp", loopback(*n.port))
		if err != nil {
			return fmt.Errorf("the port for %s is not free, choose others with -ports: %w", n.name, err)
		}
		l.Close()
	}
	return nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
