package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// schemas are of one provider's resources and data sources, as scripts/terraform_schemas.py writes them.
type schemas struct {
	Provider block
	Resource map[string]block
	Data     map[string]block
}

type block struct {
	Required   bool
	Many       bool
	Attributes map[string]attribute
	Blocks     map[string]block
}

type attribute struct {
	Kind string // required, optional or computed
	Type kind
}

// kind is a type: "string", or ["list", …], ["map", …], ["object", {…}].
type kind struct{ tftypes.Type }

func (k *kind) UnmarshalJSON(text []byte) error {
	var parts []json.RawMessage
	if json.Unmarshal(text, &parts) != nil {
		return k.parseSimple(text)
	}
	var name string
	if err := json.Unmarshal(parts[0], &name); err != nil {
		return err
	}
	if name == "object" {
		var fields map[string]kind
		if err := json.Unmarshal(parts[1], &fields); err != nil {
			return err
		}
		types := make(map[string]tftypes.Type, len(fields))
		for field, each := range fields {
			types[field] = each.Type
		}
		k.Type = tftypes.Object{AttributeTypes: types}
		return nil
	}
	var element kind
	if err := json.Unmarshal(parts[1], &element); err != nil {
		return err
	}
	k.Type = tftypes.List{ElementType: element.Type}
	if name == "map" {
		k.Type = tftypes.Map{ElementType: element.Type}
	}
	return nil
}

func (k *kind) parseSimple(text []byte) error {
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return err
	}
	known := map[string]tftypes.Type{
		"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool, "dynamic": tftypes.DynamicPseudoType,
	}
	if k.Type = known[name]; k.Type == nil {
		return fmt.Errorf("no type %q", name)
	}
	return nil
}

func readSchemas(file string) (schemas, error) {
	var read schemas
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	return read, err
}

func (b block) schema() *tfprotov6.Schema { return &tfprotov6.Schema{Block: b.protocol()} }

func (b block) protocol() *tfprotov6.SchemaBlock {
	result := &tfprotov6.SchemaBlock{}
	for _, name := range slices.Sorted(maps.Keys(b.Attributes)) {
		each := b.Attributes[name]
		result.Attributes = append(result.Attributes, &tfprotov6.SchemaAttribute{
			Name: name, Type: each.Type.Type,
			Required: each.Kind == "required", Optional: each.Kind == "optional", Computed: each.Kind == "computed",
			WriteOnly: strings.HasSuffix(name, "_wo"),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(b.Blocks)) {
		each := b.Blocks[name]
		nested := &tfprotov6.SchemaNestedBlock{
			TypeName: name, Block: each.protocol(), Nesting: tfprotov6.SchemaNestedBlockNestingModeList,
		}
		if each.Required {
			nested.MinItems = 1
		}
		if !each.Many {
			nested.MaxItems = 1
		}
		if name == "timeouts" {
			nested.Nesting, nested.MinItems, nested.MaxItems = tfprotov6.SchemaNestedBlockNestingModeSingle, 0, 0
		}
		result.BlockTypes = append(result.BlockTypes, nested)
	}
	return result
}

func protocols(blocks map[string]block) map[string]*tfprotov6.Schema {
	result := make(map[string]*tfprotov6.Schema, len(blocks))
	for name, each := range blocks {
		result[name] = each.schema()
	}
	return result
}
