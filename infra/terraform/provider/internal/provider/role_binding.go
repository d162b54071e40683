package provider

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type bindingModel struct {
	ID               types.String `tfsdk:"id"`
	Role             types.String `tfsdk:"role"`
	UserID           types.String `tfsdk:"user_id"`
	ServiceAccountID types.String `tfsdk:"service_account_id"`
	Group            types.String `tfsdk:"group"`
	Project          types.String `tfsdk:"project"`
	Domain           types.String `tfsdk:"domain"`
}

type principalMessage struct {
	UserID           string `json:"userId,omitempty"`
	ServiceAccountID string `json:"serviceAccountId,omitempty"`
	Group            string `json:"group,omitempty"`
}

type bindingMessage struct {
	ID        string           `json:"id,omitempty"`
	RequestID string           `json:"requestId,omitempty"`
	Principal principalMessage `json:"principal"`
	Role      string           `json:"role"`
	Project   string           `json:"project"`
	Domain    string           `json:"domain"`
}

type bindingEnvelope struct {
	RoleBinding bindingMessage `json:"roleBinding"`
}

func newRoleBinding() resource.Resource {
	principal := func(description string) schema.StringAttribute {
		return schema.StringAttribute{
			Optional: true, MarkdownDescription: description, PlanModifiers: replaces,
			Validators: []validator.String{
				stringvalidator.ExactlyOneOf(path.MatchRoot("user_id"), path.MatchRoot("service_account_id"), path.MatchRoot("group")),
				stringvalidator.LengthAtLeast(1),
			},
		}
	}
	scope := func(description string) schema.StringAttribute {
		attribute := text(description, isLabelOrEmpty())
		attribute.PlanModifiers = replaces
		return attribute
	}
	return &kind[bindingModel]{
		name: "role_binding",
		schema: schema.Schema{
			MarkdownDescription: "Binds a role to a user, a service account or a group: in the org, a project, or one of " +
				"its domains. The key must hold all permissions of the role.",
			Attributes: map[string]schema.Attribute{
				"id":                 fixed("Id of the binding."),
				"role":               schema.StringAttribute{Required: true, MarkdownDescription: "Name of the role.", PlanModifiers: replaces},
				"user_id":            principal("Id of a member, as `volary_member` has it."),
				"service_account_id": principal("Id of a service account."),
				"group":              principal("A group, as the identity provider names it."),
				"project":            scope("Project that the role is bound in; empty: the whole org."),
				"domain":             scope("Domain of the project; empty: all of them."),
			},
		},
		create: func(c call, plan *bindingModel) error {
			request := bindingMessage{
				RequestID: newRequestID(),
				Principal: principalMessage{
					UserID:           plan.UserID.ValueString(),
					ServiceAccountID: plan.ServiceAccountID.ValueString(),
					Group:            plan.Group.ValueString(),
				},
				Role:    plan.Role.ValueString(),
				Project: plan.Project.ValueString(),
				Domain:  plan.Domain.ValueString(),
			}
			var answer bindingEnvelope
			if err := c.api.Call(c, "RoleBindingService/CreateRoleBinding", request, &answer); err != nil {
				return err
			}
			plan.set(answer.RoleBinding)
			return nil
		},
		read: func(c call, state *bindingModel) error {
			var answer bindingEnvelope
			request := map[string]string{"id": state.ID.ValueString()}
			if err := c.api.Call(c, "RoleBindingService/GetRoleBinding", request, &answer); err != nil {
				return err
			}
			state.set(answer.RoleBinding)
			return nil
		},
		delete: func(c call, state *bindingModel) error {
			return c.api.Call(c, "RoleBindingService/DeleteRoleBinding", map[string]string{"id": state.ID.ValueString()}, nil)
		},
		importAs: []string{"id"},
	}
}

func (m *bindingModel) set(found bindingMessage) {
	m.ID = types.StringValue(found.ID)
	m.Role = types.StringValue(found.Role)
	m.UserID = textOrNull(found.Principal.UserID)
	m.ServiceAccountID = textOrNull(found.Principal.ServiceAccountID)
	m.Group = textOrNull(found.Principal.Group)
	m.Project = types.StringValue(found.Project)
	m.Domain = types.StringValue(found.Domain)
}
