package provider

import (
	"encoding/base64"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"volary.dev/terraform-provider-volary/internal/client"
)

const secrets = "flyteidl2.secret.SecretService/"

var secretTypes = map[string]string{
	"generic":    "SECRET_TYPE_GENERIC",
	"image_pull": "SECRET_TYPE_IMAGE_PULL_SECRET",
}

type secretModel struct {
	Name           types.String `tfsdk:"name"`
	Project        types.String `tfsdk:"project"`
	Domain         types.String `tfsdk:"domain"`
	Type           types.String `tfsdk:"type"`
	Value          types.String `tfsdk:"value"`
	ValueVersion   types.Int64  `tfsdk:"value_version"`
	Version        types.Int64  `tfsdk:"version"`
	WrittenVersion types.Int64  `tfsdk:"written_version"`
}

type secretMessage struct {
	Name    string `json:"name"`
	Project string `json:"project"`
	Domain  string `json:"domain"`
	Type    string `json:"type"`
	Version int64  `json:"version,string"`
}

func newSecret() resource.Resource {
	scope := func(description string) schema.StringAttribute {
		attribute := text(description, isLabelOrEmpty())
		attribute.PlanModifiers = replaces
		return attribute
	}
	return &kind[secretModel]{
		name: "secret",
		schema: schema.Schema{
			MarkdownDescription: "A secret of tasks. Its value is write-only: it is in no plan and no state, and the control plane " +
				"never answers it. If someone else wrote another value, the next plan writes this one again.",
			Attributes: map[string]schema.Attribute{
				"name":    schema.StringAttribute{Required: true, MarkdownDescription: "Key of the secret, as tasks name it.", PlanModifiers: replaces},
				"project": scope("Project that may use it, in `domain`; empty: the whole domain, or org."),
				"domain":  scope("Domain that may use it; empty: the whole org."),
				"type": schema.StringAttribute{
					Optional: true, Computed: true, Default: stringdefault.StaticString("generic"),
					MarkdownDescription: "`generic`, or `image_pull` for a registry's configuration.",
					PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
					Validators:          []validator.String{stringvalidator.OneOf("generic", "image_pull")},
				},
				"value": schema.StringAttribute{
					Required: true, WriteOnly: true, Sensitive: true,
					MarkdownDescription: "The value. Write an ephemeral variable or resource here. It is written when the secret " +
						"is created, and when `value_version` changes.",
				},
				"value_version":   schema.Int64Attribute{Optional: true, MarkdownDescription: "Another number writes `value` again."},
				"version":         schema.Int64Attribute{Computed: true, MarkdownDescription: "Grows with each value, whoever writes it."},
				"written_version": schema.Int64Attribute{Computed: true, MarkdownDescription: "The `version` that this resource wrote last."},
			},
		},
		create: func(c call, plan *secretModel) error {
			request := map[string]any{
				"id": plan.id(),
				"secretSpec": map[string]string{
					"stringValue": configured(c, "value"),
					"type":        secretTypes[plan.Type.ValueString()],
				},
			}
			if err := c.api.Call(c, secrets+"CreateSecret", request, nil); err != nil {
				return err
			}
			return plan.written(c)
		},
		read: readSecret,
		update: func(c call, plan, _ *secretModel) error {
			request := map[string]string{
				"name":    plan.Name.ValueString(),
				"project": plan.Project.ValueString(),
				"domain":  plan.Domain.ValueString(),
				"value":   base64.StdEncoding.EncodeToString([]byte(configured(c, "value"))),
			}
			if err := c.api.Call(c, "SecretService/RotateSecret", request, nil); err != nil {
				return err
			}
			return plan.written(c)
		},
		delete: func(c call, state *secretModel) error {
			return c.api.Call(c, secrets+"DeleteSecret", map[string]any{"id": state.id()}, nil)
		},
		plan: func(_ call, plan, state *secretModel) {
			if state != nil && !state.Version.Equal(state.WrittenVersion) {
				plan.Version, plan.WrittenVersion = types.Int64Unknown(), types.Int64Unknown()
			}
		},
		importAs: []string{"project", "domain", "name"},
		optional: 2,
	}
}

// readSecret finds the secret in the list of its scope: only lists have versions.
func readSecret(c call, state *secretModel) error {
	token := ""
	for {
		var answer struct {
			Secrets []secretMessage `json:"secrets"`
			Next    string          `json:"nextPageToken"`
		}
		request := map[string]any{
			"pageSize": 200, "pageToken": token,
			"project": state.Project.ValueString(), "domain": state.Domain.ValueString(),
		}
		if err := c.api.Call(c, "SecretService/ListSecrets", request, &answer); err != nil {
			return err
		}
		for _, each := range answer.Secrets {
			if each.Name == state.Name.ValueString() && each.Project == state.Project.ValueString() &&
				each.Domain == state.Domain.ValueString() {
				state.set(each)
				return nil
			}
		}
		if token = answer.Next; token == "" {
			return &client.Error{Code: client.NotFound, Message: "there is no such secret"}
		}
	}
}

// written reads the version that was just written.
func (m *secretModel) written(c call) error {
	if err := readSecret(c, m); err != nil {
		return createdError{err}
	}
	m.WrittenVersion = m.Version
	return nil
}

func (m *secretModel) id() map[string]string {
	return map[string]string{
		"name":    m.Name.ValueString(),
		"project": m.Project.ValueString(),
		"domain":  m.Domain.ValueString(),
	}
}

func (m *secretModel) set(found secretMessage) {
	m.Project = types.StringValue(found.Project)
	m.Domain = types.StringValue(found.Domain)
	m.Type = types.StringValue(found.Type)
	m.Version = types.Int64Value(found.Version)
}
