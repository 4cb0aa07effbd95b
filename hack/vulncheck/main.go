// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Command vulncheck runs govulncheck on modules and fails for each known vulnerability whose code is called, unless known.yaml says why
// it does no harm, and until when.
//
//	vulncheck [-db URL] [-known FILE] [-require] -govulncheck PROGRAM MODULE...
//
// Without the database nothing can be checked: then it says so and succeeds, or fails with -require. "file://DIR" is a copy of the database
// as golang.org/x/vulndb makes it, for networks that are closed.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

func main() {
	db := flag.String("db", "https://vuln.go.dev", "URL of the vulnerability database")
	knownFile := flag.String("known", "", "file of the vulnerabilities that are known to do no harm")
	require := flag.Bool("require", false, "fail where the database cannot be reached")
	program := flag.String("govulncheck", "govulncheck", "program to run")
	flag.Parse()
	if err := run(os.Stdout, *program, *db, *knownFile, *require, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, program, db, knownFile string, require bool, modules []string) error {
	known, err := readKnown(knownFile)
	if err != nil {
		return err
	}
	if err := reach(db); err != nil {
		if require {
			return err
		}
		fmt.Fprintf(out, "vulncheck: SKIPPED, known vulnerabilities of %q were NOT looked for: %v\n", modules, err)
		return nil
	}
	var found []finding
	for _, module := range modules {
		f, err := scan(program, db, module)
		if err != nil {
			return err
		}
		found = append(found, f...)
	}
	return report(out, found, known, time.Now())
}

// reach says whether the database is there.
func reach(db string) error {
	u, err := url.Parse(db)
	if err != nil {
		return fmt.Errorf("parsing the database's URL: %w", err)
	}
	const index = "index/db.json"
	if u.Scheme == "file" {
		_, err := os.Stat(filepath.Join(u.Path, index))
		return err
	}
	client := http.Client{Timeout: 15 * time.Second}
	resp, err := client.Get(u.JoinPath(index).String())
	if err != nil {
		return fmt.Errorf("asking the vulnerability database: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("asking the vulnerability database: %s answers %s", u.Host, resp.Status)
	}
	return nil
}
