package provider

import (
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"volary.dev/terraform-provider-volary/internal/client"
)

type clusterModel struct {
	Name         types.String `tfsdk:"name"`
	Pool         types.String `tfsdk:"pool"`
	Cordoned     types.Bool   `tfsdk:"cordoned"`
	AutoAccept   types.Bool   `tfsdk:"auto_accept"`
	DrainTimeout types.String `tfsdk:"drain_timeout"`
	StopAttempts types.Bool   `tfsdk:"stop_attempts"`
	JoinToken    types.String `tfsdk:"join_token"`
	Version      types.Int64  `tfsdk:"version"`
}

type clusterMessage struct {
	Name     string `json:"name"`
	Pool     string `json:"pool"`
	Cordoned bool   `json:"cordoned"`
	Version  int64  `json:"version,string"`
}

type clusterEnvelope struct {
	Cluster clusterMessage `json:"cluster"`
}

type drainMessage struct {
	Drain struct {
		Remaining []struct {
			Project, Domain, Run, Action string
		} `json:"remaining"`
		Cluster struct {
			Connected bool `json:"connected"`
		} `json:"cluster"`
	} `json:"drain"`
}

func newCluster() resource.Resource {
	joinToken := fixed("Token with which the cluster's agent joins: it works once, for fifteen minutes. " +
		"Empty if the cluster was imported; `volary_join_token` makes others.")
	joinToken.Sensitive = true
	return &kind[clusterModel]{
		name: "cluster",
		schema: schema.Schema{
			MarkdownDescription: "A cluster. Destroying it drains it: it gets no more work, and is deleted, with its agent's " +
				"identity, once it is empty.",
			Attributes: map[string]schema.Attribute{
				"name":     name("Name of the cluster."),
				"pool":     text("Pool that the cluster is in; empty: the default pool.", isLabelOrEmpty()),
				"cordoned": flag("It gets no new work, and keeps what it has."),
				"auto_accept": flag("The first agent that uses the join token is accepted without `volary cluster accept`. It counts " +
					"when the cluster is created."),
				"drain_timeout": schema.StringAttribute{
					Optional: true, Computed: true, Default: stringdefault.StaticString("30m"),
					Validators:          []validator.String{isDuration{}},
					MarkdownDescription: "How long destroying waits until the cluster is empty, as in `30m`.",
				},
				"stop_attempts": flag("When `drain_timeout` has passed, what is left is stopped, and starts again on other clusters; " +
					"false: destroying fails, and the cluster stays drained. Apply it before you destroy."),
				"join_token": joinToken,
				"version":    versionAttribute(),
			},
		},
		create: createCluster,
		read: func(c call, state *clusterModel) error {
			var answer clusterEnvelope
			request := map[string]string{"name": state.Name.ValueString()}
			if err := c.api.Call(c, "ClusterService/GetCluster", request, &answer); err != nil {
				return err
			}
			if state.JoinToken.IsNull() { // imported
				state.JoinToken = types.StringValue("")
				state.AutoAccept, state.StopAttempts = types.BoolValue(false), types.BoolValue(false)
				state.DrainTimeout = types.StringValue("30m")
			}
			state.set(answer.Cluster)
			return nil
		},
		update:   updateCluster,
		delete:   deleteCluster,
		importAs: []string{"name"},
	}
}

// createCluster creates a cluster. The join token is in the first answer only: if that was lost,
// another token is made.
func createCluster(c call, plan *clusterModel) error {
	var answer struct {
		JoinToken string `json:"joinToken"`
	}
	request := map[string]any{
		"requestId":  newRequestID(),
		"name":       plan.Name.ValueString(),
		"pool":       plan.Pool.ValueString(),
		"autoAccept": plan.AutoAccept.ValueBool(),
	}
	if err := c.api.Call(c, "EnrolmentService/CreateCluster", request, &answer); err != nil {
		return err
	}
	made := *plan
	made.JoinToken = types.StringValue(answer.JoinToken)
	made.Cordoned, made.Version = types.BoolValue(false), types.Int64Value(1)
	wanted := *plan
	*plan = made
	if answer.JoinToken == "" {
		token, err := createJoinToken(c, plan.Name.ValueString(), plan.AutoAccept.ValueBool())
		if err != nil {
			return createdError{err}
		}
		plan.JoinToken = types.StringValue(token)
	}
	if wanted.Cordoned.ValueBool() {
		wanted.JoinToken = plan.JoinToken
		if err := updateCluster(c, &wanted, plan); err != nil {
			return createdError{err}
		}
		*plan = wanted
	}
	return nil
}

func createJoinToken(c call, cluster string, autoAccept bool) (string, error) {
	for {
		var answer struct {
			JoinToken string `json:"joinToken"`
		}
		request := map[string]any{"requestId": newRequestID(), "cluster": cluster, "autoAccept": autoAccept}
		if err := c.api.Call(c, "EnrolmentService/CreateJoinToken", request, &answer); err != nil {
			return "", err
		}
		if answer.JoinToken != "" {
			return answer.JoinToken, nil
		}
	}
}

func updateCluster(c call, plan, state *clusterModel) error {
	var answer clusterEnvelope
	request := map[string]any{
		"cluster": clusterMessage{
			Name:     plan.Name.ValueString(),
			Pool:     plan.Pool.ValueString(),
			Cordoned: plan.Cordoned.ValueBool(),
			Version:  state.Version.ValueInt64(),
		},
		"updateMask": "pool,cordoned",
	}
	if err := c.api.Call(c, "ClusterService/UpdateCluster", request, &answer); err != nil {
		return err
	}
	plan.set(answer.Cluster)
	return nil
}

// deleteCluster drains a cluster, waits until it is empty, and deletes it.
func deleteCluster(c call, state *clusterModel) error {
	request := map[string]any{"name": state.Name.ValueString()}
	var last drainMessage
	if err := c.api.Call(c, "ClusterService/DrainCluster", request, &last); err != nil {
		return err
	}
	timeout, err := time.ParseDuration(state.DrainTimeout.ValueString())
	if err != nil {
		return fmt.Errorf("drain_timeout: %w", err)
	}
	if len(last.Drain.Remaining) > 0 || last.Drain.Cluster.Connected {
		watch := map[string]any{
			"name": state.Name.ValueString(), "deadline": fmt.Sprintf("%ds", int64(timeout.Seconds())),
			"stopAttempts": state.StopAttempts.ValueBool(),
		}
		next := func() any { last = drainMessage{}; return &last }
		if err := c.api.Stream(c, "ClusterService/WatchDrain", watch, next); err != nil {
			return err
		}
	}
	if left := last.Drain.Remaining; len(left) > 0 {
		return &client.Error{Code: "failed_precondition", Message: fmt.Sprintf(
			"drain_timeout: the cluster still has %d attempts after %s, such as %s/%s/%s/%s; it stays drained. Destroy it "+
				"again, or set stop_attempts, apply and destroy",
			len(left), timeout, left[0].Project, left[0].Domain, left[0].Run, left[0].Action)}
	}
	return c.api.Call(c, "ClusterService/DeleteCluster", request, nil)
}

func (m *clusterModel) set(found clusterMessage) {
	m.Name = types.StringValue(found.Name)
	m.Pool = types.StringValue(found.Pool)
	m.Cordoned = types.BoolValue(found.Cordoned)
	m.Version = types.Int64Value(found.Version)
}
