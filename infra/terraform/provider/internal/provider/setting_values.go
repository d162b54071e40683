package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// wholeOrg is the id for an import of the org's own settings.
const wholeOrg = "-"

// settingKinds maps the keys of settings to the field of the message that has the value.
var settingKinds = map[string]string{
	"run.default_queue":                   "stringValue",
	"run.max_action_concurrency":          "intValue",
	"run.run_base_dir":                    "stringValue",
	"security.service_account":            "stringValue",
	"storage.raw_data_path":               "stringValue",
	"pod_template_name":                   "stringValue",
	"task_resource.mirror_limits_request": "boolValue",
	"task_resource.default_accelerator":   "acceleratorValue",
	"task_resource.min.cpu":               "quantityValue",
	"task_resource.min.gpu":               "quantityValue",
	"task_resource.min.memory":            "quantityValue",
	"task_resource.min.storage":           "quantityValue",
	"task_resource.max.cpu":               "quantityValue",
	"task_resource.max.gpu":               "quantityValue",
	"task_resource.max.memory":            "quantityValue",
	"task_resource.max.storage":           "quantityValue",
}

var mapKeys = []string{"annotations", "environment_variables", "labels"}

func valueKeys() []string { return slices.Sorted(maps.Keys(settingKinds)) }

// areSettings validates the values that are not texts.
type areSettings struct{}

func (areSettings) Description(context.Context) string { return "values of their keys' kinds" }

func (v areSettings) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (areSettings) ValidateMap(_ context.Context, request validator.MapRequest, response *validator.MapResponse) {
	for key, value := range request.ConfigValue.Elements() {
		written, ok := value.(types.String)
		if !ok || written.IsUnknown() {
			continue
		}
		if written.IsNull() {
			response.Diagnostics.AddAttributeError(request.Path.AtMapKey(key), "Bad setting",
				"It has no value: leave it out to inherit it, or name it in unset.")
		} else if _, err := settingValue(key, written.ValueString()); err != nil {
			response.Diagnostics.AddAttributeError(request.Path.AtMapKey(key), "Bad setting", sentence(err.Error()))
		}
	}
}

// settingValue returns a value as protobuf's JSON has it.
func settingValue(key, written string) (any, error) {
	switch settingKinds[key] {
	case "intValue":
		if _, err := strconv.ParseInt(written, 10, 64); err != nil {
			return nil, fmt.Errorf("%q is not a whole number", written)
		}
		return written, nil
	case "boolValue":
		parsed, err := strconv.ParseBool(written)
		if err != nil {
			return nil, fmt.Errorf("%q is neither true nor false", written)
		}
		return parsed, nil
	case "acceleratorValue":
		return map[string]any{"device": written}, nil
	default:
		return written, nil
	}
}

// message returns the settings as protobuf's JSON has them: a tree of the parts of each key.
func (m *settingsModel) message(c call) (map[string]any, error) {
	message := map[string]any{}
	set := func(key, field string, value any) {
		plant(message, key, map[string]any{"state": "SETTING_STATE_VALUE", field: value})
	}
	for key, written := range parseMap(c, m.Values) {
		value, err := settingValue(key, written)
		if err != nil {
			return nil, fmt.Errorf("values: %s: %w", key, err)
		}
		set(key, settingKinds[key], value)
	}
	for key, entries := range m.maps() {
		if !entries.IsNull() {
			set(key, "mapValue", map[string]any{"entries": parseMap(c, *entries)})
		}
	}
	for _, key := range parseSet(c, m.Unset) {
		plant(message, key, map[string]any{"state": "SETTING_STATE_UNSET"})
	}
	return message, nil
}

// set takes over what the control plane has: other values are drift.
func (m *settingsModel) set(c call, found settingsRecord) error {
	values, unset := map[string]string{}, []string{}
	for _, key := range append(valueKeys(), mapKeys...) {
		leaf := pick(found.Settings, key)
		if leaf == nil {
			continue
		}
		if leaf["state"] == "SETTING_STATE_UNSET" {
			unset = append(unset, key)
		} else if field, ok := settingKinds[key]; ok {
			values[key] = renderSetting(leaf[field])
		}
	}
	m.Values = textMap(values, types.MapNull(types.StringType))
	for key, entries := range m.maps() {
		written := map[string]string{}
		if leaf := pick(found.Settings, key); leaf != nil {
			held, _ := leaf["mapValue"].(map[string]any)
			texts, _ := held["entries"].(map[string]any)
			for name, text := range texts {
				written[name] = fmt.Sprint(text)
			}
		}
		*entries = textMap(written, types.MapNull(types.StringType))
	}
	m.Unset = types.SetNull(types.StringType)
	if len(unset) > 0 {
		m.Unset = textSet(unset)
	}
	m.Project = types.StringValue(found.Key.Project)
	m.Domain = types.StringValue(found.Key.Domain)
	m.Version = types.Int64Value(found.Version)
	return nil
}

func (m *settingsModel) maps() map[string]*types.Map {
	return map[string]*types.Map{
		"labels": &m.Labels, "annotations": &m.Annotations, "environment_variables": &m.Variables,
	}
}

// renderSetting returns a value as a configuration writes it; a default value is left out in JSON.
func renderSetting(value any) string {
	switch held := value.(type) {
	case nil:
		return ""
	case map[string]any: // an accelerator
		return fmt.Sprint(held["device"])
	default:
		return fmt.Sprint(held)
	}
}

// plant puts a leaf at a dotted key, whose parts have JSON's names.
func plant(tree map[string]any, key string, leaf map[string]any) {
	parts := strings.Split(key, ".")
	for _, part := range parts[:len(parts)-1] {
		branch, ok := tree[camel(part)].(map[string]any)
		if !ok {
			branch = map[string]any{}
			tree[camel(part)] = branch
		}
		tree = branch
	}
	tree[camel(parts[len(parts)-1])] = leaf
}

// pick returns the leaf at a dotted key; nil if there is none.
func pick(tree map[string]any, key string) map[string]any {
	for _, part := range strings.Split(key, ".") {
		branch, ok := tree[camel(part)].(map[string]any)
		if !ok {
			return nil
		}
		tree = branch
	}
	return tree
}

// camel returns the name of a field in JSON.
func camel(field string) string {
	parts := strings.Split(field, "_")
	for number, part := range parts[1:] {
		parts[number+1] = strings.ToUpper(part[:1]) + part[1:]
	}
	return strings.Join(parts, "")
}
