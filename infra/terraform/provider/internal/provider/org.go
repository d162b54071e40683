package provider

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"volary.dev/terraform-provider-volary/internal/client"
)

type orgModel struct {
	Name            types.String `tfsdk:"name"`
	DisplayName     types.String `tfsdk:"display_name"`
	DeleteOnDestroy types.Bool   `tfsdk:"delete_on_destroy"`
	Version         types.Int64  `tfsdk:"version"`
}

type orgMessage struct {
	Name        string `json:"name,omitempty"`
	DisplayName string `json:"displayName"`
	Version     int64  `json:"version,string"`
}

type orgEnvelope struct {
	Org orgMessage `json:"org"`
}

func newOrg() resource.Resource {
	return &kind[orgModel]{
		name: "org",
		schema: schema.Schema{
			MarkdownDescription: "The org of the API key. People and operators create orgs; this declares what it is called. " +
				"Destroying it leaves the org as it is, unless `delete_on_destroy` is set.",
			Attributes: map[string]schema.Attribute{
				"name":         name("Name of the org: the one that the key is of."),
				"display_name": schema.StringAttribute{Required: true, MarkdownDescription: "Name for people."},
				"delete_on_destroy": flag("Destroying it deletes the org: its keys, this one too, are refused from then on, and its runs " +
					"are aborted. The operator can restore it for some days. Make everything else depend on it, so that it goes last."),
				"version": versionAttribute(),
			},
		},
		create: func(c call, plan *orgModel) error {
			found, err := readOrg(c)
			if err != nil {
				return err
			}
			if found.Name != plan.Name.ValueString() {
				return &client.Error{Code: "failed_precondition", Message: fmt.Sprintf(
					"name: the API key is of the org %s; use a key of the org %s", found.Name, plan.Name.ValueString())}
			}
			return updateOrg(c, plan, found.Version)
		},
		read: func(c call, state *orgModel) error {
			found, err := readOrg(c)
			if err != nil {
				return err
			}
			if found.Name != state.Name.ValueString() {
				return fmt.Errorf("the API key is of the org %s, and the state of %s; use a key of %s",
					found.Name, state.Name.ValueString(), state.Name.ValueString())
			}
			state.DisplayName = types.StringValue(found.DisplayName)
			state.Version = types.Int64Value(found.Version)
			if state.DeleteOnDestroy.IsNull() {
				state.DeleteOnDestroy = types.BoolValue(false)
			}
			return nil
		},
		update: func(c call, plan, state *orgModel) error {
			return updateOrg(c, plan, state.Version.ValueInt64())
		},
		delete: func(c call, state *orgModel) error {
			if !state.DeleteOnDestroy.ValueBool() {
				c.diagnostics.AddWarning("The org stays", fmt.Sprintf(
					"The org %s was removed from the state, and exists as before. To delete it, set delete_on_destroy first.",
					state.Name.ValueString()))
				return nil
			}
			return c.api.Call(c, "OrgService/DeleteOrg", map[string]string{"name": state.Name.ValueString()}, nil)
		},
		importAs: []string{"name"},
	}
}

func readOrg(c call) (orgMessage, error) {
	var answer orgEnvelope
	err := c.api.Call(c, "OrgService/GetOrg", struct{}{}, &answer)
	return answer.Org, err
}

func updateOrg(c call, plan *orgModel, version int64) error {
	var answer orgEnvelope
	request := map[string]any{
		"org":        orgMessage{DisplayName: plan.DisplayName.ValueString(), Version: version},
		"updateMask": "displayName",
	}
	if err := c.api.Call(c, "OrgService/UpdateOrg", request, &answer); err != nil {
		return err
	}
	plan.DisplayName = types.StringValue(answer.Org.DisplayName)
	plan.Version = types.Int64Value(answer.Org.Version)
	return nil
}
