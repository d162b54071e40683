package provider

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// newRequestID returns an id that makes a create repeatable: each create has one of its own, so that
// what was destroyed can be created again.
func newRequestID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// textMap returns a map for the state; one that is empty stays null if it was null before.
func textMap(found map[string]string, before types.Map) types.Map {
	if len(found) == 0 && before.IsNull() {
		return types.MapNull(types.StringType)
	}
	values := make(map[string]attr.Value, len(found))
	for key, value := range found {
		values[key] = types.StringValue(value)
	}
	return types.MapValueMust(types.StringType, values)
}

// parseMap returns a map's content; nil if it is null.
func parseMap(ctx context.Context, given types.Map) map[string]string {
	var parsed map[string]string
	given.ElementsAs(ctx, &parsed, false)
	return parsed
}

func textSet(found []string) types.Set {
	return types.SetValueMust(types.StringType, textValues(found))
}

func textValues(found []string) []attr.Value {
	values := make([]attr.Value, 0, len(found))
	for _, each := range found {
		values = append(values, types.StringValue(each))
	}
	return values
}

// parseSet returns a set's content; empty if it is null.
func parseSet(ctx context.Context, given types.Set) []string {
	parsed := []string{}
	if !given.IsNull() {
		given.ElementsAs(ctx, &parsed, false)
	}
	return parsed
}

func textOrNull(found string) types.String {
	if found == "" {
		return types.StringNull()
	}
	return types.StringValue(found)
}

// sameTime returns a time for the state: as it was written, if that is the same instant.
func sameTime(before types.String, found time.Time) types.String {
	if found.IsZero() {
		return types.StringNull()
	}
	if written, err := time.Parse(time.RFC3339, before.ValueString()); err == nil && written.Equal(found) {
		return before
	}
	return types.StringValue(found.UTC().Format(time.RFC3339Nano))
}

// isDuration validates a duration of Go.
type isDuration struct{}

func (isDuration) Description(context.Context) string { return "a duration such as 30m" }

func (v isDuration) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v isDuration) ValidateString(ctx context.Context, request validator.StringRequest, response *validator.StringResponse) {
	if request.ConfigValue.IsNull() || request.ConfigValue.IsUnknown() {
		return
	}
	if parsed, err := time.ParseDuration(request.ConfigValue.ValueString()); err != nil || parsed < 0 {
		response.Diagnostics.AddAttributeError(request.Path, "Bad duration", "Write "+v.Description(ctx)+".")
	}
}

// isTime validates an RFC 3339 time.
type isTime struct{}

func (isTime) Description(context.Context) string { return "a time such as 2027-01-31T00:00:00Z" }

func (v isTime) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v isTime) ValidateString(ctx context.Context, request validator.StringRequest, response *validator.StringResponse) {
	if request.ConfigValue.IsNull() || request.ConfigValue.IsUnknown() {
		return
	}
	if _, err := time.Parse(time.RFC3339, request.ConfigValue.ValueString()); err != nil {
		response.Diagnostics.AddAttributeError(request.Path, "Bad time", "Write "+v.Description(ctx)+".")
	}
}
