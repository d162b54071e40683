package provider

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type roleModel struct {
	Name        types.String `tfsdk:"name"`
	Description types.String `tfsdk:"description"`
	Permissions types.Set    `tfsdk:"permissions"`
	Version     types.Int64  `tfsdk:"version"`
}

type roleMessage struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Permissions []string `json:"permissions"`
	BuiltIn     bool     `json:"builtIn,omitempty"`
	Version     int64    `json:"version,string,omitempty"`
}

type roleEnvelope struct {
	Role roleMessage `json:"role"`
}

func newRole() resource.Resource {
	return &kind[roleModel]{
		name: "role",
		schema: schema.Schema{
			MarkdownDescription: "A custom role: a set of permissions. The key must hold all of them. " +
				"Built-in roles (`owner`, `admin`, `contributor`, `viewer`) are not resources.",
			Attributes: map[string]schema.Attribute{
				"name": schema.StringAttribute{
					Required: true, MarkdownDescription: "Name of the role.", PlanModifiers: replaces,
				},
				"description": text("What the role is for."),
				"permissions": schema.SetAttribute{
					Required: true, ElementType: types.StringType,
					MarkdownDescription: "Permissions such as `run:create`; `volary role permissions` lists them.",
					Validators: []validator.Set{setvalidator.ValueStringsAre(stringvalidator.RegexMatches(
						permission, "must be a permission such as run:create"))},
				},
				"version": versionAttribute(),
			},
		},
		create: func(c call, plan *roleModel) error {
			var answer roleEnvelope
			if err := c.api.Call(c, "RoleService/CreateRole", plan.message(c, 0), &answer); err != nil {
				return err
			}
			plan.set(answer.Role)
			return nil
		},
		read: func(c call, state *roleModel) error {
			var answer roleEnvelope
			request := map[string]string{"name": state.Name.ValueString()}
			if err := c.api.Call(c, "RoleService/GetRole", request, &answer); err != nil {
				return err
			}
			state.set(answer.Role)
			return nil
		},
		update: func(c call, plan, state *roleModel) error {
			var answer roleEnvelope
			request := map[string]any{
				"role":       plan.message(c, state.Version.ValueInt64()),
				"updateMask": "permissions,description",
			}
			if err := c.api.Call(c, "RoleService/UpdateRole", request, &answer); err != nil {
				return err
			}
			plan.set(answer.Role)
			return nil
		},
		delete: func(c call, state *roleModel) error {
			return c.api.Call(c, "RoleService/DeleteRole", map[string]string{"name": state.Name.ValueString()}, nil)
		},
		importAs: []string{"name"},
	}
}

func (m *roleModel) message(c call, version int64) roleMessage {
	return roleMessage{
		Name:        m.Name.ValueString(),
		Description: m.Description.ValueString(),
		Permissions: parseSet(c, m.Permissions),
		Version:     version,
	}
}

func (m *roleModel) set(found roleMessage) {
	m.Name = types.StringValue(found.Name)
	m.Description = types.StringValue(found.Description)
	m.Permissions = textSet(found.Permissions)
	m.Version = types.Int64Value(found.Version)
}
