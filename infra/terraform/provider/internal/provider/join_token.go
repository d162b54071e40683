package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/boolplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type joinTokenModel struct {
	Cluster    types.String `tfsdk:"cluster"`
	AutoAccept types.Bool   `tfsdk:"auto_accept"`
	Keepers    types.Map    `tfsdk:"keepers"`
	JoinToken  types.String `tfsdk:"join_token"`
}

func newJoinToken() resource.Resource {
	autoAccept := flag("The first agent that uses the token is accepted without `volary cluster accept`.")
	autoAccept.PlanModifiers = []planmodifier.Bool{boolplanmodifier.RequiresReplace()}
	token := fixed("The token: it works once, for fifteen minutes.")
	token.Sensitive = true
	return &kind[joinTokenModel]{
		name: "join_token",
		schema: schema.Schema{
			MarkdownDescription: "Another join token of a cluster, for an agent that replaces the present one. Destroying it does " +
				"nothing: a token ends by itself.",
			Attributes: map[string]schema.Attribute{
				"cluster":     name("Name of the cluster."),
				"auto_accept": autoAccept,
				"keepers": schema.MapAttribute{
					Optional: true, ElementType: types.StringType,
					PlanModifiers:       []planmodifier.Map{mapplanmodifier.RequiresReplace()},
					MarkdownDescription: "Values of your choice: another value makes another token.",
				},
				"join_token": token,
			},
		},
		create: func(c call, plan *joinTokenModel) error {
			token, err := createJoinToken(c, plan.Cluster.ValueString(), plan.AutoAccept.ValueBool())
			plan.JoinToken = types.StringValue(token)
			return err
		},
		read:   func(call, *joinTokenModel) error { return nil },
		delete: func(call, *joinTokenModel) error { return nil },
	}
}
