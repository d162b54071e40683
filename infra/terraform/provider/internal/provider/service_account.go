package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type accountModel struct {
	ID          types.String `tfsdk:"id"`
	Name        types.String `tfsdk:"name"`
	Description types.String `tfsdk:"description"`
	Disabled    types.Bool   `tfsdk:"disabled"`
	Version     types.Int64  `tfsdk:"version"`
}

type accountMessage struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Disabled    bool   `json:"disabled"`
	Version     int64  `json:"version,string"`
}

type accountEnvelope struct {
	ServiceAccount accountMessage `json:"serviceAccount"`
}

func newServiceAccount() resource.Resource {
	return &kind[accountModel]{
		name: "service_account",
		schema: schema.Schema{
			MarkdownDescription: "A service account: the identity of a program. `volary_role_binding` says what it may do, " +
				"and `volary_api_key` is its credential. Destroying it deletes its keys and bindings.",
			Attributes: map[string]schema.Attribute{
				"id":          fixed("Id of the service account."),
				"name":        schema.StringAttribute{Required: true, MarkdownDescription: "Name, unique in the org."},
				"description": text("What the account is for."),
				"disabled":    flag("The account's keys are refused."),
				"version":     versionAttribute(),
			},
		},
		create: func(c call, plan *accountModel) error {
			request := map[string]string{
				"requestId":   newRequestID(),
				"name":        plan.Name.ValueString(),
				"description": plan.Description.ValueString(),
			}
			var answer accountEnvelope
			if err := c.api.Call(c, "ServiceAccountService/CreateServiceAccount", request, &answer); err != nil {
				return err
			}
			wanted := *plan
			plan.set(answer.ServiceAccount)
			if !wanted.Disabled.ValueBool() {
				return nil
			}
			if err := updateAccount(c, &wanted, plan); err != nil {
				return createdError{err}
			}
			*plan = wanted
			return nil
		},
		read: func(c call, state *accountModel) error {
			var answer accountEnvelope
			request := map[string]string{"id": state.ID.ValueString()}
			if err := c.api.Call(c, "ServiceAccountService/GetServiceAccount", request, &answer); err != nil {
				return err
			}
			state.set(answer.ServiceAccount)
			return nil
		},
		update: updateAccount,
		delete: func(c call, state *accountModel) error {
			request := map[string]string{"id": state.ID.ValueString()}
			return c.api.Call(c, "ServiceAccountService/DeleteServiceAccount", request, nil)
		},
		importAs: []string{"id"},
	}
}

func updateAccount(c call, plan, state *accountModel) error {
	request := map[string]any{
		"serviceAccount": accountMessage{
			ID:          state.ID.ValueString(),
			Name:        plan.Name.ValueString(),
			Description: plan.Description.ValueString(),
			Disabled:    plan.Disabled.ValueBool(),
			Version:     state.Version.ValueInt64(),
		},
		"updateMask": "name,description,disabled",
	}
	var answer accountEnvelope
	if err := c.api.Call(c, "ServiceAccountService/UpdateServiceAccount", request, &answer); err != nil {
		return err
	}
	plan.set(answer.ServiceAccount)
	return nil
}

func (m *accountModel) set(found accountMessage) {
	m.ID = types.StringValue(found.ID)
	m.Name = types.StringValue(found.Name)
	m.Description = types.StringValue(found.Description)
	m.Disabled = types.BoolValue(found.Disabled)
	m.Version = types.Int64Value(found.Version)
}
