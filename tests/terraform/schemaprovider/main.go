// Command schemaprovider is a Terraform provider that has the schemas of a cloud's provider and nothing
// behind them: what is planned is what is configured, and what the cloud would decide is made up.
//
// With it, Terraform itself checks the arguments, types and references of the modules. Its name says
// which provider it stands for (terraform-provider-aws), and VOLARY_TEST_SCHEMAS where the schemas are.
package main

import (
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

func main() {
	name := strings.TrimPrefix(filepath.Base(os.Args[0]), "terraform-provider-")
	read, err := readSchemas(filepath.Join(os.Getenv("VOLARY_TEST_SCHEMAS"), name+".json"))
	if err != nil {
		log.Fatal(err)
	}
	address := "registry.terraform.io/hashicorp/" + name
	err = tf6server.Serve(address, func() tfprotov6.ProviderServer { return &provider{schemas: read} })
	if err != nil {
		log.Fatal(err)
	}
}
