// What writes the bills of materials, apart from the modules that they are about.
module github.com/kubeedge/datastream/hack/sbom

go 1.25.0

require (
	github.com/CycloneDX/cyclonedx-go v0.9.3
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.2
)

require golang.org/x/text v0.14.0 // indirect
