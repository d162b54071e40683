package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"volary.dev/terraform-provider-volary/internal/client"
)

type triggerModel struct {
	Project     types.String `tfsdk:"project"`
	Domain      types.String `tfsdk:"domain"`
	TaskName    types.String `tfsdk:"task_name"`
	Name        types.String `tfsdk:"name"`
	Active      types.Bool   `tfsdk:"active"`
	TaskVersion types.String `tfsdk:"task_version"`
}

type triggerMessage struct {
	Active      bool   `json:"active"`
	TaskVersion string `json:"taskVersion"`
}

func newTrigger() resource.Resource {
	part := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Required: true, MarkdownDescription: description, PlanModifiers: replaces}
	}
	return &kind[triggerModel]{
		name: "trigger",
		schema: schema.Schema{
			MarkdownDescription: "Whether a trigger fires. The trigger itself comes with its task, by `flyte deploy`, which may " +
				"activate it again: the next plan shows that. Destroying this leaves the trigger as it is.",
			Attributes: map[string]schema.Attribute{
				"project":      name("Project of the trigger."),
				"domain":       name("Domain of the trigger."),
				"task_name":    part("Name of the task, as `environment.function`."),
				"name":         part("Name of the trigger."),
				"active":       schema.BoolAttribute{Required: true, MarkdownDescription: "It starts runs."},
				"task_version": schema.StringAttribute{Computed: true, MarkdownDescription: "Version of the task of which it starts runs."},
			},
		},
		create: func(c call, plan *triggerModel) error {
			err := setActive(c, plan)
			if client.HasCode(err, client.NotFound) {
				return &client.Error{Code: "failed_precondition", Message: "name: there is no such trigger; deploy its task " +
					"first, with `flyte deploy`"}
			}
			return err
		},
		read: readTrigger,
		update: func(c call, plan, _ *triggerModel) error {
			return setActive(c, plan)
		},
		delete:   func(call, *triggerModel) error { return nil },
		importAs: []string{"project", "domain", "task_name", "name"},
	}
}

func setActive(c call, plan *triggerModel) error {
	request := map[string]any{"names": []map[string]string{plan.id()}, "active": plan.Active.ValueBool()}
	if err := c.api.Call(c, "flyteidl2.trigger.TriggerService/UpdateTriggers", request, nil); err != nil {
		return err
	}
	return readTrigger(c, plan)
}

func readTrigger(c call, state *triggerModel) error {
	var answer struct {
		Trigger triggerMessage `json:"trigger"`
	}
	if err := c.api.Call(c, "TriggerService/GetTrigger", state.id(), &answer); err != nil {
		return err
	}
	state.Active = types.BoolValue(answer.Trigger.Active)
	state.TaskVersion = types.StringValue(answer.Trigger.TaskVersion)
	return nil
}

func (m *triggerModel) id() map[string]string {
	return map[string]string{
		"project":  m.Project.ValueString(),
		"domain":   m.Domain.ValueString(),
		"taskName": m.TaskName.ValueString(),
		"name":     m.Name.ValueString(),
	}
}
