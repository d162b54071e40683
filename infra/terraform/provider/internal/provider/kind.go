package provider

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"

	"volary.dev/terraform-provider-volary/internal/client"
)

// call is one operation on a resource.
type call struct {
	context.Context
	api         *client.Client
	config      tfsdk.Config // for write-only values, which are in no plan; of create and update
	diagnostics *diag.Diagnostics
}

// kind is a resource whose values are M, a struct with tfsdk tags.
//
// create and update fill in what the API decides. read answers NotFound for what is gone. An error
// with the message "field: problem" is shown at that attribute.
type kind[M any] struct {
	name     string // without volary_
	schema   schema.Schema
	create   func(c call, plan *M) error
	read     func(c call, state *M) error
	update   func(c call, plan, state *M) error // nil: every change replaces it
	delete   func(c call, state *M) error
	plan     func(c call, plan, state *M) // nil: nothing to add; state is nil for a new one
	importAs []string                     // attributes that an id for import names, separated by /
	optional int                          // how many of the first of them may be left out

	api *client.Client
}

// createdError is an error after a resource came to exist: it stays in the state, tainted.
type createdError struct{ error }

func (e createdError) Unwrap() error { return e.error }

func (k *kind[M]) Metadata(_ context.Context, _ resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = "volary_" + k.name
}

func (k *kind[M]) Schema(_ context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	response.Schema = k.schema
}

func (k *kind[M]) Configure(_ context.Context, request resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if api, ok := request.ProviderData.(*client.Client); ok {
		k.api = api
	}
}

func (k *kind[M]) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	var plan M
	response.Diagnostics.Append(request.Plan.Get(ctx, &plan)...)
	if response.Diagnostics.HasError() {
		return
	}
	err := k.create(call{ctx, k.api, request.Config, &response.Diagnostics}, &plan)
	var created createdError
	if err == nil || errors.As(err, &created) {
		response.Diagnostics.Append(response.State.Set(ctx, &plan)...)
	}
	k.addError(&response.Diagnostics, "create", err)
}

func (k *kind[M]) Read(ctx context.Context, request resource.ReadRequest, response *resource.ReadResponse) {
	var state M
	response.Diagnostics.Append(request.State.Get(ctx, &state)...)
	if response.Diagnostics.HasError() {
		return
	}
	err := k.read(call{Context: ctx, api: k.api, diagnostics: &response.Diagnostics}, &state)
	if client.HasCode(err, client.NotFound) {
		response.State.RemoveResource(ctx)
		return
	}
	if err == nil {
		response.Diagnostics.Append(response.State.Set(ctx, &state)...)
	}
	k.addError(&response.Diagnostics, "read", err)
}

func (k *kind[M]) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	var plan, state M
	response.Diagnostics.Append(request.Plan.Get(ctx, &plan)...)
	response.Diagnostics.Append(request.State.Get(ctx, &state)...)
	if response.Diagnostics.HasError() {
		return
	}
	err := k.update(call{ctx, k.api, request.Config, &response.Diagnostics}, &plan, &state)
	if err == nil {
		response.Diagnostics.Append(response.State.Set(ctx, &plan)...)
	}
	k.addError(&response.Diagnostics, "change", err)
}

func (k *kind[M]) Delete(ctx context.Context, request resource.DeleteRequest, response *resource.DeleteResponse) {
	var state M
	response.Diagnostics.Append(request.State.Get(ctx, &state)...)
	if response.Diagnostics.HasError() {
		return
	}
	err := k.delete(call{Context: ctx, api: k.api, diagnostics: &response.Diagnostics}, &state)
	if client.HasCode(err, client.NotFound) {
		return
	}
	k.addError(&response.Diagnostics, "delete", err)
}

func (k *kind[M]) ModifyPlan(ctx context.Context, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) {
	if k.plan == nil || request.Plan.Raw.IsNull() {
		return
	}
	var plan M
	var state *M
	response.Diagnostics.Append(request.Plan.Get(ctx, &plan)...)
	if !request.State.Raw.IsNull() {
		state = new(M)
		response.Diagnostics.Append(request.State.Get(ctx, state)...)
	}
	if response.Diagnostics.HasError() {
		return
	}
	k.plan(call{ctx, k.api, request.Config, &response.Diagnostics}, &plan, state)
	if !response.Diagnostics.HasError() {
		response.Diagnostics.Append(response.Plan.Set(ctx, &plan)...)
	}
}

func (k *kind[M]) ImportState(ctx context.Context, request resource.ImportStateRequest, response *resource.ImportStateResponse) {
	parts := strings.Split(request.ID, "/")
	missing := len(k.importAs) - len(parts)
	if missing < 0 || missing > k.optional || strings.HasPrefix("/"+request.ID+"/", "//") || strings.Contains(request.ID, "//") || strings.HasSuffix(request.ID, "/") {
		response.Diagnostics.AddError("Bad id for import", fmt.Sprintf(
			"%q does not name a volary_%s; write %s.", request.ID, k.name, k.importForms()))
		return
	}
	for number, part := range parts {
		response.Diagnostics.Append(response.State.SetAttribute(ctx, path.Root(k.importAs[missing+number]), part)...)
	}
}

func (k *kind[M]) importForms() string {
	forms := make([]string, 0, k.optional+1)
	for left := range k.optional + 1 {
		forms = append(forms, "<"+strings.Join(k.importAs[left:], ">/<")+">")
	}
	return strings.Join(forms, " or ")
}

var field = regexp.MustCompile(`^([a-z][a-z_.]*): (.+)$`)

// addError shows an error of the API, at the attribute that it is about if it names one.
func (k *kind[M]) addError(diagnostics *diag.Diagnostics, verb string, err error) {
	if err == nil {
		return
	}
	summary := fmt.Sprintf("Cannot %s volary_%s", verb, k.name)
	var answered *client.Error
	if !errors.As(err, &answered) {
		diagnostics.AddError(summary, sentence(err.Error()))
		return
	}
	remedy := remedies[answered.Code]
	if answered.Code == client.AlreadyExists {
		remedy = fmt.Sprintf("To manage it, import it: terraform import volary_%s.NAME %s", k.name, k.importForms())
	}
	if found := field.FindStringSubmatch(answered.Message); found != nil {
		if _, known := k.schema.Attributes[found[1]]; known {
			diagnostics.AddAttributeError(path.Root(found[1]), summary, withRemedy(found[2], remedy))
			return
		}
	}
	text := answered.Message
	if answered.Code == client.Unavailable {
		text = strings.TrimPrefix(err.Error(), answered.Code+": ")
	}
	diagnostics.AddError(summary, withRemedy(text, remedy))
}

var remedies = map[string]string{
	client.Aborted:         "It was changed since the plan was made: run terraform plan again.",
	client.Unauthenticated: "Create another key with `volary apikey create`, and set VOLARY_API_KEY.",
	client.Unavailable:     "Apply again; what was done is in the state.",
	"permission_denied":    "Bind a role with this permission to the key's service account.",
}

func withRemedy(text, remedy string) string {
	if remedy == "" {
		return sentence(text)
	}
	return sentence(text) + "\n\n" + remedy
}
