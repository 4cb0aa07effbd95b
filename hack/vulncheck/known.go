// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// known is a vulnerability whose code is called, and that does no harm here.
type known struct {
	// ID is that of the Go vulnerability database, GO-YYYY-NNNN.
	ID string `json:"id"`
	// Reason says why it does no harm, or why it cannot be helped.
	Reason string `json:"reason"`
	// Expires is the day, YYYY-MM-DD, on which somebody has to look again.
	Expires string `json:"expires"`
}

func readKnown(file string) ([]known, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the known vulnerabilities: %w", err)
	}
	var list []known
	if err := yaml.UnmarshalStrict(b, &list); err != nil {
		return nil, fmt.Errorf("reading the known vulnerabilities: %w", err)
	}
	for _, k := range list {
		if _, err := time.Parse(time.DateOnly, k.Expires); err != nil || k.ID == "" || strings.TrimSpace(k.Reason) == "" {
			return nil, fmt.Errorf("reading the known vulnerabilities: %q needs an id, a reason and a day on which it expires, YYYY-MM-DD", k.ID)
		}
	}
	return list, nil
}

// report prints what was found. The error says that something has to be done: about a vulnerability that is called, or about an entry of
// the list that has expired or is of no use any more.
func report(out io.Writer, found []finding, list []known, now time.Time) error {
	today := now.UTC().Format(time.DateOnly)
	used := make(map[string]bool)
	var problems []error
	dormant := 0
	for _, f := range found {
		if f.called == "" {
			dormant++
			continue
		}
		fix := "fixed in " + f.fixed
		if f.fixed == "" {
			fix = "not fixed yet"
		}
		i := slices.IndexFunc(list, func(k known) bool { return k.ID == f.id })
		if i < 0 {
			problems = append(problems, fmt.Errorf("%s in %s, module %s (%s): %s\n    %s", f.id, f.module, f.in, fix, f.summary, f.called))
			continue
		}
		used[f.id] = true
		fmt.Fprintf(out, "known until %s: %s in %s, module %s (%s): %s\n", list[i].Expires, f.id, f.module, f.in, fix, strings.TrimSpace(list[i].Reason))
	}
	for _, k := range list {
		switch {
		case !used[k.ID]:
			problems = append(problems, fmt.Errorf("%s is on the list of known ones, and nothing calls it any more: take it off", k.ID))
		case k.Expires <= today:
			problems = append(problems, fmt.Errorf("%s was to be looked at again on %s", k.ID, k.Expires))
		}
	}
	fmt.Fprintf(out, "vulncheck: %d vulnerabilities are called, %d more are in what we build with and are not called\n", len(found)-dormant, dormant)
	return errors.Join(problems...)
}
