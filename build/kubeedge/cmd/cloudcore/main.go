package main

import "github.com/kubeedge/kubeedge/cloud/cmd/cloudcore/app"

func main() { _ = app.NewCloudCoreCommand().Execute() }
