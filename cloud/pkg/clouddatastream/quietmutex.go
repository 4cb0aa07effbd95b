// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import "sync"

// quietMutex is a mutex whose holder does not write to the log: a log that takes its time would stop all who wait for the mutex. What is to be
// said is said when it is released.
type quietMutex struct {
	sync.Mutex
	lines []func()
}

// later has line called by Unlock, behind those of before. The mutex is held.
func (m *quietMutex) later(line func()) { m.lines = append(m.lines, line) }

// Unlock releases the mutex, and then says what there is to say.
func (m *quietMutex) Unlock() {
	lines := m.lines
	m.lines = nil
	m.Mutex.Unlock()
	for _, line := range lines {
		line()
	}
}
