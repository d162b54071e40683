package provider

import (
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int32default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

const labelRule = "must consist of small letters, digits and dashes, begin and end with a letter or digit, " +
	"and have at most 63 characters"

var (
	label      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	permission = regexp.MustCompile(`^[a-z_]+:[a-z_]+$`)
)

func isLabel() validator.String { return stringvalidator.RegexMatches(label, labelRule) }

var replaces = []planmodifier.String{stringplanmodifier.RequiresReplace()}

// name is the attribute that a resource is found by: another name is another resource.
func name(description string) schema.StringAttribute {
	return schema.StringAttribute{
		Required: true, MarkdownDescription: description, PlanModifiers: replaces,
		Validators: []validator.String{isLabel()},
	}
}

// text is optional, and empty by default.
func text(description string, validators ...validator.String) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, Computed: true, Default: stringdefault.StaticString(""),
		MarkdownDescription: description, Validators: validators,
	}
}

// number is optional, and 0 by default.
func number(description string, validators ...validator.Int32) schema.Int32Attribute {
	return schema.Int32Attribute{
		Optional: true, Computed: true, Default: int32default.StaticInt32(0),
		MarkdownDescription: description, Validators: validators,
	}
}

// fixed is a text that the API decides, and that never changes.
func fixed(description string) schema.StringAttribute {
	return schema.StringAttribute{
		Computed: true, MarkdownDescription: description,
		PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
	}
}

// versionAttribute is compared by updates, so that what someone else changed is not overwritten.
func versionAttribute() schema.Int64Attribute {
	return schema.Int64Attribute{
		Computed: true,
		MarkdownDescription: "Grows with each change. An update is refused if there was another one " +
			"since the plan was made.",
	}
}

// flag is optional, and false by default.
func flag(description string) schema.BoolAttribute {
	return schema.BoolAttribute{
		Optional: true, Computed: true, Default: booldefault.StaticBool(false),
		MarkdownDescription: description,
	}
}

func isLabelOrEmpty() validator.String {
	return stringvalidator.Any(stringvalidator.OneOf(""), isLabel())
}
