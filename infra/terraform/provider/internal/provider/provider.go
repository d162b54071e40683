// Package provider serves the resources of Volary's platform API to Terraform.
//
// Each resource is a kind: a schema, and functions that create, read, update and delete it by calls
// of the API. What they share (errors, removal from the state, imports) is in kind.go.
package provider

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"volary.dev/terraform-provider-volary/internal/client"
)

const defaultRetryTimeout = 2 * time.Minute

type volary struct{ version string }

// New returns the provider's factory.
func New(version string) func() provider.Provider {
	return func() provider.Provider { return &volary{version} }
}

// settings of the provider, with the variables of the volary command in place of those not given.
type settings struct {
	Endpoint     types.String `tfsdk:"endpoint"`
	APIKey       types.String `tfsdk:"api_key"`
	CAFile       types.String `tfsdk:"ca_file"`
	Org          types.String `tfsdk:"org"`
	RetryTimeout types.String `tfsdk:"retry_timeout"`
}

func (v *volary) Metadata(_ context.Context, _ provider.MetadataRequest, response *provider.MetadataResponse) {
	response.TypeName = "volary"
	response.Version = v.version
}

func (v *volary) Schema(_ context.Context, _ provider.SchemaRequest, response *provider.SchemaResponse) {
	response.Schema = schema.Schema{
		MarkdownDescription: "Declares what an org of a Volary control plane consists of. It acts in the org of its API key.",
		Attributes: map[string]schema.Attribute{
			"endpoint": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Address of the control plane, as in `https://volary.example.com`. " +
					"Default: `VOLARY_URL`, then the address in the API key.",
			},
			"api_key": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "API key of a service account, as `volary apikey create` prints it. " +
					"Default: `VOLARY_API_KEY`. None: calls are anonymous, which only `volary up` allows.",
			},
			"ca_file": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "File with the certificates to trust, in PEM form, for a private CA. " +
					"Default: `VOLARY_CA_FILE`, then those of the system.",
			},
			"org": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Org that the API key has to be of, as a safeguard against another org's key. " +
					"Default: `VOLARY_ORG`, then any.",
			},
			"retry_timeout": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "How long a call is repeated while the control plane is unavailable, as in `30s`. Default: `2m`.",
			},
		},
	}
}

func (v *volary) Configure(ctx context.Context, request provider.ConfigureRequest, response *provider.ConfigureResponse) {
	var given settings
	response.Diagnostics.Append(request.Config.Get(ctx, &given)...)
	if response.Diagnostics.HasError() {
		return
	}
	api := v.connect(ctx, given, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	response.ResourceData, response.DataSourceData = api, api
}

// connect returns a client by the settings; each error names the setting that it is about.
func (v *volary) connect(ctx context.Context, given settings, diagnostics *diag.Diagnostics) *client.Client {
	wrong := func(name, problem string) {
		diagnostics.AddAttributeError(path.Root(name), "Bad "+name+" of the provider", problem)
	}
	for name, value := range map[string]types.String{
		"endpoint": given.Endpoint, "api_key": given.APIKey, "ca_file": given.CAFile, "org": given.Org,
		"retry_timeout": given.RetryTimeout,
	} {
		if value.IsUnknown() {
			wrong(name, "It is known only after an apply. Apply what it depends on first, with -target, "+
				"or move what uses this provider to a configuration of its own.")
		}
	}
	if diagnostics.HasError() {
		return nil
	}
	config := client.Config{
		CAFile:    or(given.CAFile, "VOLARY_CA_FILE"),
		RetryFor:  defaultRetryTimeout,
		UserAgent: "terraform-provider-volary/" + v.version,
	}
	if text := given.RetryTimeout.ValueString(); text != "" {
		timeout, err := time.ParseDuration(text)
		if err != nil || timeout < 0 {
			wrong("retry_timeout", fmt.Sprintf("%q is not a duration; write 30s or 2m.", text))
		}
		config.RetryFor = timeout
	}
	endpoint, org := or(given.Endpoint, "VOLARY_URL"), or(given.Org, "VOLARY_ORG")
	if text := or(given.APIKey, "VOLARY_API_KEY"); text != "" {
		key, err := client.ParseKey(text)
		if err != nil {
			wrong("api_key", sentence(err.Error()))
			return nil
		}
		config.Key = key
		if endpoint == "" {
			endpoint = key.Host
		}
	}
	if endpoint == "" {
		wrong("endpoint", "No control plane is named. Set endpoint or VOLARY_URL, or api_key or VOLARY_API_KEY.")
		return nil
	}
	address, err := client.ParseAddress(endpoint)
	if err != nil {
		wrong("endpoint", sentence(err.Error()))
		return nil
	}
	config.Address = address
	if problem := v.checkKey(config.Key, address, org); problem != "" {
		wrong("api_key", problem)
		return nil
	}
	api, err := client.New(config)
	if err != nil {
		wrong("ca_file", sentence(err.Error()))
		return nil
	}
	return api
}

// checkKey returns why calls cannot be made with the key, or without one; "" if they can.
func (v *volary) checkKey(key *client.Key, address *url.URL, org string) string {
	if key != nil {
		if err := key.Check(address, org); err != nil {
			return sentence(err.Error())
		}
		return ""
	}
	if address.Scheme == "https" {
		return "No API key is set. Create one with `volary apikey create`, and set VOLARY_API_KEY."
	}
	return ""
}

func (v *volary) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		newAPIKey, newCluster, newIdentityProvider, newJoinToken, newMember, newOrg, newProject, newQueue, newRole, newRoleBinding,
		newSecret, newServiceAccount, newSettings, newTrigger,
	}
}

func (v *volary) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{newPoolSource}
}

func or(value types.String, variable string) string {
	if text := value.ValueString(); text != "" {
		return text
	}
	return os.Getenv(variable)
}

// sentence begins a text with a capital letter and ends it with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}
