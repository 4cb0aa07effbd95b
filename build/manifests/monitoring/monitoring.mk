# Dashboard, alerts and traces. promtool and prometheus are Debian's package prometheus; only the programs are used, no service.

MONITORING := build/manifests/monitoring

.PHONY: test-monitoring
test-monitoring: ## alerts and dashboard against promtool and a real Prometheus that scrapes a real cloud and edge; traces
	@command -v promtool prometheus >/dev/null || { echo "needs promtool and prometheus: apt-get install prometheus"; exit 1; }
	promtool check rules $(MONITORING)/alerts.yaml
	promtool test rules $(MONITORING)/alerts_test.yaml
	REQUIRE_PROMETHEUS=1 go test -race -count=1 ./tests/monitoring/... ./pkg/tracing/

.PHONY: dashboard-screenshot
dashboard-screenshot: ## draws the dashboard under load into docs/images/dashboard.png; LOAD (default 3m) long; needs chromium, too
	REQUIRE_PROMETHEUS=1 go test -count=1 -timeout 30m -run TestPrometheus ./tests/monitoring -screenshot $(CURDIR)/docs/images/dashboard.png -load $(or $(LOAD),3m)

.PHONY: monitoring-generate
monitoring-generate: ## makes the Prometheus operator's rules from alerts.yaml
	@{ printf '%s\n' '# Made from ../alerts.yaml: make monitoring-generate' 'apiVersion: monitoring.coreos.com/v1' 'kind: PrometheusRule' \
		'metadata:' '  name: datastream' '  namespace: kubeedge' '  labels:' '    app.kubernetes.io/name: datastream' 'spec:'; \
	sed '/^#/d; s/^/  /' $(MONITORING)/alerts.yaml; } > $(MONITORING)/operator/prometheusrule.yaml
