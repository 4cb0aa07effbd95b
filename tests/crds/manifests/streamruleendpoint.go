// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"fmt"
	"strings"
)

// StreamRuleEndpoints are manifests of StreamRuleEndpoints.
func StreamRuleEndpoints() []Case {
	const (
		scheme   = "url must begin with rtsp:// or rtsps://, in lower case, for example rtsp://192.0.2.10/stream"
		host     = "url must name a host after ://"
		space    = "url must not contain spaces or control characters"
		userinfo = "url must not contain a user name or password when credentialsSecretRef is set"
		secret   = "credentialsSecretRef.name must be the name of a Secret"
	)
	url := func(s string) string { return fmt.Sprintf("spec:\n  url: %q\n", s) }
	withSecret := func(s string) string { return url(s) + "  credentialsSecretRef: {name: camera-password}\n" }
	properties := func(n int, name, value string) string {
		var b strings.Builder
		b.WriteString(url("rtsp://cam/1") + "  properties:\n")
		for i := range n {
			fmt.Fprintf(&b, "    %q: %q\n", fmt.Sprintf("%s%02d", name, i), value)
		}
		return b.String()
	}

	return []Case{
		{"address", url("rtsp://192.0.2.10/stream"), ""},
		{"name, port and query", url("rtsps://camera.example.com:322/Streaming/Channels/101?transport=tcp&a=[1]"), ""},
		{"IPv6", url("rtsp://[2001:db8::1]:554/stream"), ""},
		{"IPv6 with a zone", url("rtsp://[fe80::1%25eth0]/stream"), ""},
		{"host only", url("rtsp://camera"), ""},
		{"query without path", url("rtsp://camera?channel=1"), ""},
		{"password in the URL", url("rtsp://admin:p@ss%2Fword@192.0.2.10:554/stream"), ""},
		{"user name in the URL", url("rtsp://admin@192.0.2.10/stream"), ""},
		{"@ in the path beside a Secret", withSecret("rtsp://192.0.2.10/user@stream"), ""},
		{"@ in the query beside a Secret", withSecret("rtsp://192.0.2.10?user=a@b"), ""},
		{"longest URL", url("rtsp://cam/" + strings.Repeat("p", 2037)), ""},
		{"largest properties", properties(32, strings.Repeat("k", 61), strings.Repeat("v", 8192)), ""},
		{"property that nobody knows", url("rtsp://cam/1") + "  properties: {example.com/colour: red}\n", ""},
		{"property that is null, which is as if it were not there", url("rtsp://cam/1") + "  properties: {transport: null}\n", ""},
		{"certificate", url("rtsps://cam/1") + "  properties:\n    transport: tcp\n    caCertificate: |\n" +
			"      -----BEGIN CERTIFICATE-----\n      MIIB\n      -----END CERTIFICATE-----\n", ""},

		{"no spec", "", "spec: Required value"},
		{"no url", "spec: {protocol: websocket}", "spec.url: Required value"},
		{"unknown field", url("rtsp://cam/1") + "  password: secret\n", `unknown field "spec.password"`},
		{"unknown protocol", url("rtsp://cam/1") + "  protocol: mqtt\n", `Unsupported value: "mqtt": supported values: "websocket"`},
		{"empty protocol", url("rtsp://cam/1") + "  protocol: \"\"\n", `supported values: "websocket"`},

		{"empty url", url(""), scheme},
		{"no scheme", url("192.0.2.10/stream"), scheme},
		{"only a path", url("/dev/video0"), scheme},
		{"no slashes", url("rtsp:192.0.2.10"), scheme},
		{"scheme in capitals", url("RTSP://192.0.2.10/stream"), scheme},
		{"scheme begins with a digit", url("4rtsp://192.0.2.10/stream"), scheme},
		{"scheme of a later version", url("v4l2+h264://localhost/dev/video0"), scheme},
		{"scheme of a web page", url("http://192.0.2.10/snapshot.jpg"), scheme},
		{"scheme of another player", url("rtmp://192.0.2.10/live/stream"), scheme},
		{"scheme with one letter too many", url("rtspx://192.0.2.10/stream"), scheme},
		{"scheme with one letter too few", url("rts://192.0.2.10/stream"), scheme},
		{"scheme after another", url("proxy+rtsp://192.0.2.10/stream"), scheme},
		{"space before the scheme", url(" rtsp://192.0.2.10/stream"), scheme},
		{"line before the scheme", url("x\nrtsp://192.0.2.10/stream"), scheme},
		{"scheme twice", url("rtsp://rtsp://192.0.2.10/stream"), host},
		{"no host", url("rtsp://"), host},
		{"no host before the path", url("rtsp:///stream"), host},
		{"no host before the port", url("rtsp://:554/stream"), host},
		{"no host after the user", url("rtsp://admin:secret@/stream"), host},
		{"port that is no number", url("rtsp://camera:rtsp/stream"), host},
		{"port that is too large", url("rtsp://camera:554554/stream"), host},
		{"IPv6 that is none", url("rtsp://[camera]/stream"), host},
		{"IPv6 without brackets", url("rtsp://2001:db8::1/stream"), host},
		{"password with a slash", url("rtsp://admin:pa/ss@192.0.2.10/stream"), host},
		{"space", url("rtsp://192.0.2.10/my stream"), space},
		{"line break", url("rtsp://192.0.2.10/stream\n"), space},
		{"NUL", url("rtsp://192.0.2.10/stream\x00"), space},
		{"url too long", url("rtsp://cam/" + strings.Repeat("p", 2038)), "url: Too long"},

		{"user and password beside a Secret", withSecret("rtsp://admin:secret@192.0.2.10/stream"), userinfo},
		{"user beside a Secret", withSecret("rtsp://admin@192.0.2.10/stream"), userinfo},
		{"empty user beside a Secret", withSecret("rtsp://@192.0.2.10/stream"), userinfo},
		{"Secret without a name", url("rtsp://cam/1") + "  credentialsSecretRef: {}\n", "credentialsSecretRef.name: Required value"},
		{"Secret with an empty name", url("rtsp://cam/1") + "  credentialsSecretRef: {name: \"\"}\n", secret},
		{"Secret in another namespace", url("rtsp://cam/1") + "  credentialsSecretRef: {name: kube-system/s}\n", secret},
		{"Secret name too long", url("rtsp://cam/1") + "  credentialsSecretRef: {name: " + strings.Repeat("s", 254) + "}\n", "name: Too long"},

		{"too many properties", properties(33, "k", "v"), "must have at most 32 items"},
		{"property with an empty name", url("rtsp://cam/1") + "  properties: {\"\": v}\n", "the name of each property must have 1 to 63 characters"},
		{"property with a long name", properties(1, strings.Repeat("k", 62), "v"), "the name of each property must have 1 to 63 characters"},
		{"property with a long value", properties(1, "k", strings.Repeat("v", 8193)), "the value of each property must have at most 8192 characters"},
		{"property that is a list", url("rtsp://cam/1") + "  properties: {transport: [tcp, udp]}\n", "spec.properties.transport in body must be of type string"},
		{"properties that are a list", url("rtsp://cam/1") + "  properties: [transport]\n", "spec.properties in body must be of type object"},
		{"property twice", url("rtsp://cam/1") + "  properties: {transport: tcp, transport: udp}\n", `key "transport" already set`},
		{"property that is a number", url("rtsp://cam/1") + "  properties: {timeout: 5}\n", "spec.properties.timeout in body must be of type string"},
	}
}
