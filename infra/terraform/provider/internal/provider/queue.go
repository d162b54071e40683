package provider

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int32validator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type queueModel struct {
	Name              types.String `tfsdk:"name"`
	Pool              types.String `tfsdk:"pool"`
	Priority          types.Int32  `tfsdk:"priority"`
	Depth             types.Int32  `tfsdk:"depth"`
	RunConcurrency    types.Int32  `tfsdk:"run_concurrency"`
	ActionConcurrency types.Int32  `tfsdk:"action_concurrency"`
	MoveWorkTo        types.String `tfsdk:"move_work_to"`
	Version           types.Int64  `tfsdk:"version"`
}

type queueMessage struct {
	Name              string `json:"name"`
	Pool              string `json:"pool"`
	Priority          int32  `json:"priority"`
	Depth             int32  `json:"depth"`
	RunConcurrency    int32  `json:"runConcurrency"`
	ActionConcurrency int32  `json:"actionConcurrency"`
	Version           int64  `json:"version,string"`
}

type queueEnvelope struct {
	Queue queueMessage `json:"queue"`
}

func newQueue() resource.Resource {
	limit := int32validator.Between(0, 1_000_000)
	return &kind[queueModel]{
		name: "queue",
		schema: schema.Schema{
			MarkdownDescription: "A queue: which pool of clusters serves it, its priority and its limits. " +
				"`terraform destroy` fails while it has work, unless `move_work_to` is set.",
			Attributes: map[string]schema.Attribute{
				"name":               name("Name of the queue; `default` is taken."),
				"pool":               text("Clusters of this pool serve the queue; empty: the default pool.", isLabelOrEmpty()),
				"priority":           number("Larger goes first: -1000 to 1000.", int32validator.Between(-1000, 1000)),
				"depth":              number("Limit of waiting actions; 0: none.", limit),
				"run_concurrency":    number("Limit of runs in progress; 0: none.", limit),
				"action_concurrency": number("Limit of actions in progress; 0: none.", limit),
				"move_work_to": schema.StringAttribute{
					Optional: true,
					MarkdownDescription: "When the queue is destroyed, its runs and waiting actions move to this queue; " +
						"empty: the default queue. Apply it before you destroy.",
				},
				"version": versionAttribute(),
			},
		},
		create: func(c call, plan *queueModel) error {
			var answer queueEnvelope
			if err := c.api.Call(c, "QueueService/CreateQueue", queueEnvelope{plan.message(0)}, &answer); err != nil {
				return err
			}
			plan.set(answer.Queue)
			return nil
		},
		read: func(c call, state *queueModel) error {
			var answer queueEnvelope
			request := map[string]string{"name": state.Name.ValueString()}
			if err := c.api.Call(c, "QueueService/GetQueue", request, &answer); err != nil {
				return err
			}
			state.set(answer.Queue)
			return nil
		},
		update: func(c call, plan, state *queueModel) error {
			var answer queueEnvelope
			request := map[string]any{
				"queue":      plan.message(state.Version.ValueInt64()),
				"updateMask": strings.Join([]string{"pool", "priority", "depth", "runConcurrency", "actionConcurrency"}, ","),
			}
			if err := c.api.Call(c, "QueueService/UpdateQueue", request, &answer); err != nil {
				return err
			}
			plan.set(answer.Queue)
			return nil
		},
		delete: func(c call, state *queueModel) error {
			request := map[string]string{"name": state.Name.ValueString()}
			if !state.MoveWorkTo.IsNull() {
				request["moveTo"] = state.MoveWorkTo.ValueString()
			}
			return c.api.Call(c, "QueueService/DeleteQueue", request, nil)
		},
		importAs: []string{"name"},
	}
}

func (m *queueModel) message(version int64) queueMessage {
	return queueMessage{
		Name:              m.Name.ValueString(),
		Pool:              m.Pool.ValueString(),
		Priority:          m.Priority.ValueInt32(),
		Depth:             m.Depth.ValueInt32(),
		RunConcurrency:    m.RunConcurrency.ValueInt32(),
		ActionConcurrency: m.ActionConcurrency.ValueInt32(),
		Version:           version,
	}
}

func (m *queueModel) set(found queueMessage) {
	m.Name = types.StringValue(found.Name)
	m.Pool = types.StringValue(found.Pool)
	m.Priority = types.Int32Value(found.Priority)
	m.Depth = types.Int32Value(found.Depth)
	m.RunConcurrency = types.Int32Value(found.RunConcurrency)
	m.ActionConcurrency = types.Int32Value(found.ActionConcurrency)
	m.Version = types.Int64Value(found.Version)
}
