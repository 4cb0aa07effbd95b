// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"

	"github.com/kubeedge/datastream/build/kubeedge/internal/section"
)

// settleTime is how long the file must lie still before it is taken for whole: stock edgecore writes in place.
const settleTime = 200 * time.Millisecond

// keeper keeps our section in edgecore.yaml. Stock edgecore writes that file anew, from types that do not know us, when
// it has used up the join token in it. So as long as there is a token, a copy of the section lies beside the file; when the
// token has been emptied and the section is gone, it is put back, at once or at the next start.
type keeper struct {
	file, spare string
}

func newKeeper(file string) *keeper {
	return &keeper{file: filepath.Clean(file), spare: file + ".datastream"}
}

// start puts the section back into d and the file if an earlier run could not, and sees to it that the next one could.
func (k *keeper) start(d section.Document) error {
	if _, err := k.settle(d); err != nil {
		return fmt.Errorf("keeping %s: %w", section.Path(edgeDataStream), err)
	}
	return nil
}

// run puts the section back once stock edgecore has written the file. It returns when nothing more can happen to the section, or ctx ends.
func (k *keeper) run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", k.file, err)
	}
	defer func() { _ = watcher.Close() }()
	if err := watcher.Add(filepath.Dir(k.file)); err != nil {
		return fmt.Errorf("watching %s: %w", k.file, err)
	}
	settled := time.NewTimer(0) // something may have happened before
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watcher.Errors:
			return fmt.Errorf("watching %s: %w", k.file, err)
		case event := <-watcher.Events:
			if filepath.Clean(event.Name) == k.file {
				settled.Reset(settleTime)
			}
		case <-settled.C:
			d, err := section.Read(k.file)
			if err != nil {
				continue // not whole yet
			}
			if done, err := k.settle(d); done || err != nil {
				return err
			}
		}
	}
}

// settle makes the copy, the file and d what they should be. It reports whether the section is out of danger.
func (k *keeper) settle(d section.Document) (done bool, err error) {
	ours, present := d.Get(edgeDataStream)
	token, written := token(d)
	switch {
	case present && token != "":
		data, err := yaml.Marshal(ours)
		if err != nil {
			return false, fmt.Errorf("encoding the section: %w", err)
		}
		return false, section.WriteFile(k.spare, data)
	case !present && written && token == "":
		return true, k.restore(d)
	case !present && len(d) == 0:
		return false, nil // not whole yet
	default:
		return true, k.forget()
	}
}

// restore puts the section back into d and the file if there is a copy.
func (k *keeper) restore(d section.Document) error {
	data, err := os.ReadFile(k.spare)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the section's copy: %w", err)
	}
	var ours any
	if err := yaml.Unmarshal(data, &ours); err != nil {
		return fmt.Errorf("reading the section's copy %s: %w", k.spare, err)
	}
	d.Set(edgeDataStream, ours)
	if data, err = yaml.Marshal(d); err != nil {
		return fmt.Errorf("encoding configuration: %w", err)
	}
	if err := section.WriteFile(k.file, data); err != nil {
		return err
	}
	klog.InfoS("Section is back in the file that was written without it", "section", section.Path(edgeDataStream).String(), "file", k.file)
	return k.forget()
}

// forget removes the copy: the file is what its owner wants.
func (k *keeper) forget() error {
	if err := os.Remove(k.spare); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the section's copy: %w", err)
	}
	return nil
}

// token is the join token, and whether there is a field for it: stock edgecore always writes one.
func token(d section.Document) (token string, written bool) {
	hub, _ := d.Get("edgeHub")
	fields, _ := hub.(map[string]any)
	value, written := fields["token"]
	token, _ = value.(string)
	return token, written
}
