package main

import "github.com/kubeedge/kubeedge/edge/cmd/edgecore/app"

func main() { _ = app.NewEdgeCoreCommand().Execute() }
