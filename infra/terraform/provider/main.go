// Command terraform-provider-volary is the Terraform provider of Volary's platform API.
package main

import (
	"context"
	"flag"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"volary.dev/terraform-provider-volary/internal/provider"
)

// version is set by the build.
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "serve a debugger, and print TF_REATTACH_PROVIDERS")
	flag.Parse()
	err := providerserver.Serve(context.Background(), provider.New(version), providerserver.ServeOpts{
		Address: "registry.terraform.io/volary/volary",
		Debug:   *debug,
	})
	if err != nil {
		log.Fatal(err)
	}
}
