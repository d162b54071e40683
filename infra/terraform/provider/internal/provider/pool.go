package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"volary.dev/terraform-provider-volary/internal/client"
)

// poolSource reads a pool, which exists while a cluster or queue names it: nothing creates one.
type poolSource struct{ api *client.Client }

type poolModel struct {
	Name          types.String `tfsdk:"name"`
	Clusters      types.Int32  `tfsdk:"clusters"`
	ReadyClusters types.Int32  `tfsdk:"ready_clusters"`
	Queues        types.Int32  `tfsdk:"queues"`
}

type poolMessage struct {
	Name          string `json:"name"`
	Clusters      int32  `json:"clusters"`
	ReadyClusters int32  `json:"readyClusters"`
	Queues        int32  `json:"queues"`
}

func newPoolSource() datasource.DataSource { return &poolSource{} }

func (s *poolSource) Metadata(_ context.Context, _ datasource.MetadataRequest, response *datasource.MetadataResponse) {
	response.TypeName = "volary_pool"
}

func (s *poolSource) Schema(_ context.Context, _ datasource.SchemaRequest, response *datasource.SchemaResponse) {
	count := func(description string) schema.Int32Attribute {
		return schema.Int32Attribute{Computed: true, MarkdownDescription: description}
	}
	response.Schema = schema.Schema{
		MarkdownDescription: "A pool: a name that clusters and queues share. It exists while one of either names it; one that " +
			"nothing names has none of either.",
		Attributes: map[string]schema.Attribute{
			"name":           schema.StringAttribute{Required: true, MarkdownDescription: "Name of the pool; empty: the default pool."},
			"clusters":       count("How many clusters are in the pool."),
			"ready_clusters": count("How many of them are connected and take work."),
			"queues":         count("How many queues the pool serves."),
		},
	}
}

func (s *poolSource) Configure(_ context.Context, request datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	if api, ok := request.ProviderData.(*client.Client); ok {
		s.api = api
	}
}

func (s *poolSource) Read(ctx context.Context, request datasource.ReadRequest, response *datasource.ReadResponse) {
	var wanted poolModel
	response.Diagnostics.Append(request.Config.Get(ctx, &wanted)...)
	if response.Diagnostics.HasError() {
		return
	}
	found, err := s.find(ctx, wanted.Name.ValueString())
	if err != nil {
		response.Diagnostics.Append(diag.NewErrorDiagnostic("Cannot read volary_pool", sentence(err.Error())))
		return
	}
	wanted.Clusters = types.Int32Value(found.Clusters)
	wanted.ReadyClusters = types.Int32Value(found.ReadyClusters)
	wanted.Queues = types.Int32Value(found.Queues)
	response.Diagnostics.Append(response.State.Set(ctx, &wanted)...)
}

func (s *poolSource) find(ctx context.Context, name string) (poolMessage, error) {
	token := ""
	for {
		var answer struct {
			Pools []poolMessage `json:"pools"`
			Next  string        `json:"nextPageToken"`
		}
		request := map[string]any{"pageSize": 200, "pageToken": token}
		if err := s.api.Call(ctx, "PoolService/ListPools", request, &answer); err != nil {
			return poolMessage{}, err
		}
		for _, each := range answer.Pools {
			if each.Name == name {
				return each, nil
			}
		}
		if token = answer.Next; token == "" {
			return poolMessage{}, nil
		}
	}
}
