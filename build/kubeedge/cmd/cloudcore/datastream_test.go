// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubeedge/api/apis/componentconfig/cloudcore/v1alpha1"
	"github.com/kubeedge/beehive/pkg/core"

	"github.com/kubeedge/datastream/build/kubeedge/internal/section"
)

func TestTunnelTakesCloudHubsFiles(t *testing.T) {
	hub := &v1alpha1.CloudHub{TLSCAFile: "ca", TLSCertFile: "cert", TLSPrivateKeyFile: "key"}
	c, errs := read(section.Document{}, hub)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if c.stream.Tunnel.CAFile != "ca" || c.stream.Tunnel.CertFile != "cert" || c.stream.Tunnel.KeyFile != "key" || files(c.stream, hub).OwnCA {
		t.Errorf("%+v", c.stream.Tunnel)
	}
	d, err := section.Parse([]byte(`modules: {cloudDataStream: {tunnel: {tlsTunnelCAFile: other}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := read(d, hub); c.stream.Tunnel.CAFile != "other" || c.stream.Tunnel.CertFile != "cert" || !files(c.stream, hub).OwnCA {
		t.Errorf("%+v", c.stream.Tunnel)
	}
}

func TestNothingIsRegisteredUnlessEnabled(t *testing.T) {
	for _, text := range []string{
		"", "modules: {cloudHub: {enable: true}}",
		"modules: {cloudDataStream: {enable: false}, streamRuleController: {enable: false}}",
	} {
		if err := try(t, text); err != nil || len(core.GetModules()) != 0 {
			t.Errorf("%q: %v, %v", text, err, core.GetModules())
		}
	}
}

func TestEveryBadFieldIsNamed(t *testing.T) {
	err := try(t, `modules: {cloudDataStream: {enable: true, stream: {authentication: maybe}}, streamRuleController: {enable: true, resendMin: 9s, resendMax: 1s}}`)
	for _, want := range []string{"modules.cloudDataStream.stream.authentication: Unsupported value", "modules.streamRuleController.resendMax: Invalid"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func try(t *testing.T, text string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cloudcore.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := section.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return register(file, d)
}
