package provider

import (
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"volary.dev/terraform-provider-volary/internal/client"
)

const (
	projects      = "flyteidl2.project.ProjectService/"
	stateActive   = "PROJECT_STATE_ACTIVE"
	stateArchived = "PROJECT_STATE_ARCHIVED"
)

type projectModel struct {
	Name        types.String `tfsdk:"name"`
	DisplayName types.String `tfsdk:"display_name"`
	Description types.String `tfsdk:"description"`
	Labels      types.Map    `tfsdk:"labels"`
}

type projectMessage struct {
	ID          string        `json:"id"`
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Labels      projectLabels `json:"labels"`
	State       string        `json:"state,omitempty"` // left out: active
}

type projectLabels struct {
	Values map[string]string `json:"values"`
}

type projectEnvelope struct {
	Project projectMessage `json:"project"`
}

func newProject() resource.Resource {
	return &kind[projectModel]{
		name: "project",
		schema: schema.Schema{
			MarkdownDescription: "A project. Projects are not deleted: `terraform destroy` archives it, and its runs stay. " +
				"Creating one of the same name takes it out of the archive.",
			Attributes: map[string]schema.Attribute{
				"name": name("Name of the project, as `flyte run --project` has it."),
				"display_name": schema.StringAttribute{
					Required: true, MarkdownDescription: "Name for people.",
				},
				"description": text("What the project is for."),
				"labels": schema.MapAttribute{
					Optional: true, ElementType: types.StringType, MarkdownDescription: "Labels of the project.",
				},
			},
		},
		create: createProject,
		read: func(c call, state *projectModel) error {
			found, err := findProject(c, state.Name.ValueString())
			if err != nil {
				return err
			}
			if found.State == stateArchived {
				return &client.Error{Code: client.NotFound, Message: "the project is archived"}
			}
			state.DisplayName = types.StringValue(found.Name)
			state.Description = types.StringValue(found.Description)
			state.Labels = textMap(found.Labels.Values, state.Labels)
			return nil
		},
		update: func(c call, plan, _ *projectModel) error {
			return c.api.Call(c, projects+"UpdateProject", projectEnvelope{plan.message(c, stateActive)}, nil)
		},
		delete: func(c call, state *projectModel) error {
			return c.api.Call(c, projects+"UpdateProject", projectEnvelope{state.message(c, stateArchived)}, nil)
		},
		importAs: []string{"name"},
	}
}

// createProject creates a project, or takes it out of the archive. One that is there as it is
// planned was made by this call, whose answer was lost.
func createProject(c call, plan *projectModel) error {
	wanted := plan.message(c, stateActive)
	err := c.api.Call(c, projects+"CreateProject", projectEnvelope{wanted}, nil)
	if !client.HasCode(err, client.AlreadyExists) {
		return err
	}
	found, other := findProject(c, wanted.ID)
	switch {
	case other != nil:
		return other
	case found.State == stateArchived:
		return c.api.Call(c, projects+"UpdateProject", projectEnvelope{wanted}, nil)
	case found.Name == wanted.Name && found.Description == wanted.Description &&
		maps.Equal(found.Labels.Values, wanted.Labels.Values):
		return nil
	default:
		return err
	}
}

func findProject(c call, name string) (projectMessage, error) {
	var answer projectEnvelope
	err := c.api.Call(c, projects+"GetProject", map[string]string{"id": name}, &answer)
	return answer.Project, err
}

func (m *projectModel) message(c call, state string) projectMessage {
	return projectMessage{
		ID:          m.Name.ValueString(),
		Name:        m.DisplayName.ValueString(),
		Description: m.Description.ValueString(),
		Labels:      projectLabels{parseMap(c, m.Labels)},
		State:       state,
	}
}
