// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kubeedge/datastream/pkg/assignment"
)

// store keeps the last assignment in a file, for a start without the cloud.
type store struct{ path string }

// load returns the stored assignment, or nil if there is none yet.
func (s store) load() (*assignment.Assignment, error) {
	b, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading stored assignment: %w", err)
	}
	a, err := assignment.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", s.path, err)
	}
	return &a, nil
}

// save replaces the stored assignment at once or not at all. Only the owner may read the file: URLs may hold
// passwords.
func (s store) save(a assignment.Assignment) (err error) {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encoding assignment: %w", err)
	}
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("storing assignment: %w", err)
	}
	f, err := os.CreateTemp(dir, filepath.Base(s.path)+".*") // with mode 0600
	if err != nil {
		return fmt.Errorf("storing assignment: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("storing assignment: %w", err)
		}
	}()
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path)
}
