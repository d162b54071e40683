package provider

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"volary.dev/terraform-provider-volary/internal/client"
)

const settingsService = "flyteidl2.settings.SettingsService/"

type settingsModel struct {
	Project     types.String `tfsdk:"project"`
	Domain      types.String `tfsdk:"domain"`
	Values      types.Map    `tfsdk:"values"`
	Labels      types.Map    `tfsdk:"labels"`
	Annotations types.Map    `tfsdk:"annotations"`
	Variables   types.Map    `tfsdk:"environment_variables"`
	Unset       types.Set    `tfsdk:"unset"`
	Version     types.Int64  `tfsdk:"version"`
}

type settingsKey struct {
	Project string `json:"project"`
	Domain  string `json:"domain"`
}

type settingsRecord struct {
	Key      settingsKey    `json:"key"`
	Settings map[string]any `json:"settings"`
	Version  int64          `json:"version,string"`
}

type settingsRequest struct {
	Key      settingsKey    `json:"key"`
	Settings map[string]any `json:"settings"`
	Version  int64          `json:"version,string,omitempty"`
}

func newSettings() resource.Resource {
	scope := func(description string) schema.StringAttribute {
		attribute := text(description, isLabelOrEmpty())
		attribute.PlanModifiers = replaces
		return attribute
	}
	texts := func(description string) schema.MapAttribute {
		return schema.MapAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: description,
			Validators: []validator.Map{mapvalidator.SizeAtLeast(1)}}
	}
	values := texts("Settings by their keys, such as `run.default_queue`; `true`, numbers and quantities as text.")
	values.Validators = append(values.Validators, mapvalidator.KeysAre(stringvalidator.OneOf(valueKeys()...)), areSettings{})
	return &kind[settingsModel]{
		name: "settings",
		schema: schema.Schema{
			MarkdownDescription: "All settings that one scope gives to its runs (docs/run-settings.md): of the org, of a domain, or of " +
				"a project in a domain. What is not named is inherited. Destroying it removes all of them.",
			Attributes: map[string]schema.Attribute{
				"project":               scope("Project, in `domain`; empty: the whole domain, or org."),
				"domain":                scope("Domain; empty: the whole org."),
				"values":                values,
				"labels":                texts("Labels of pods."),
				"annotations":           texts("Annotations of pods."),
				"environment_variables": texts("Environment variables of tasks."),
				"unset": schema.SetAttribute{
					Optional: true, ElementType: types.StringType,
					MarkdownDescription: "Keys that are not inherited from the scopes above.",
					Validators: []validator.Set{setvalidator.SizeAtLeast(1),
						setvalidator.ValueStringsAre(stringvalidator.OneOf(append(valueKeys(), mapKeys...)...))},
				},
				"version": versionAttribute(),
			},
		},
		create: createSettings,
		read: func(c call, state *settingsModel) error {
			found, err := readSettings(c, state.key())
			if err != nil {
				return err
			}
			if len(found.Settings) == 0 {
				return &client.Error{Code: client.NotFound, Message: "the scope has no settings"}
			}
			return state.set(c, found)
		},
		update: func(c call, plan, state *settingsModel) error {
			return writeSettings(c, plan, "UpdateSettings", state.Version.ValueInt64())
		},
		delete: func(c call, state *settingsModel) error {
			request := settingsRequest{state.key(), map[string]any{}, state.Version.ValueInt64()}
			return c.api.Call(c, settingsService+"UpdateSettings", request, nil)
		},
		importAs: []string{"project", "domain"},
		optional: 1,
	}
}

// createSettings stores a scope's first settings. A scope whose settings were destroyed has a
// version, and nothing else.
func createSettings(c call, plan *settingsModel) error {
	found, err := readSettings(c, plan.key())
	if err != nil {
		return err
	}
	if len(found.Settings) > 0 {
		return &client.Error{Code: client.AlreadyExists, Message: "the scope has settings already"}
	}
	if found.Version == 0 {
		return writeSettings(c, plan, "CreateSettings", 0)
	}
	return writeSettings(c, plan, "UpdateSettings", found.Version)
}

// readSettings returns what the scope itself sets.
func readSettings(c call, key settingsKey) (settingsRecord, error) {
	var answer struct {
		Levels []settingsRecord `json:"levels"`
	}
	request := map[string]any{"key": key}
	if err := c.api.Call(c, settingsService+"GetSettingsForEdit", request, &answer); err != nil {
		return settingsRecord{}, err
	}
	if len(answer.Levels) == 0 {
		return settingsRecord{}, fmt.Errorf("the control plane answers no settings of the scope")
	}
	return answer.Levels[len(answer.Levels)-1], nil
}

func writeSettings(c call, plan *settingsModel, method string, version int64) error {
	message, err := plan.message(c)
	if err != nil {
		return err
	}
	var answer struct {
		Record settingsRecord `json:"settingsRecord"`
	}
	request := settingsRequest{plan.key(), message, version}
	if err := c.api.Call(c, settingsService+method, request, &answer); err != nil {
		return err
	}
	plan.Version = types.Int64Value(answer.Record.Version)
	return nil
}

func (m *settingsModel) key() settingsKey {
	domain := m.Domain.ValueString()
	if domain == wholeOrg {
		domain = ""
	}
	return settingsKey{Project: m.Project.ValueString(), Domain: domain}
}
