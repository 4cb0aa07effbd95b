// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package section

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile replaces a file, or makes it with mode 0600, such that a crash leaves the old content or the new.
// What is there keeps its mode, and a symbolic link stays one.
func WriteFile(name string, data []byte) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	mode := fs.FileMode(0o600)
	if old, err := os.Stat(name); err == nil {
		mode = old.Mode().Perm()
	}
	if err := replace(name, data, mode); err != nil {
		return fmt.Errorf("replacing %s: %w", name, err)
	}
	return nil
}

func replace(name string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // nothing is there after the rename
	defer f.Close()
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
