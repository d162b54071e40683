package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// provider serves the calls that validate, plan, apply and destroy make; any other is a bug.
type provider struct {
	tfprotov6.ProviderServer

	schemas schemas
}

func (p *provider) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	response := &tfprotov6.GetMetadataResponse{ServerCapabilities: &tfprotov6.ServerCapabilities{GetProviderSchemaOptional: true}}
	for name := range p.schemas.Resource {
		response.Resources = append(response.Resources, tfprotov6.ResourceMetadata{TypeName: name})
	}
	for name := range p.schemas.Data {
		response.DataSources = append(response.DataSources, tfprotov6.DataSourceMetadata{TypeName: name})
	}
	return response, nil
}

func (p *provider) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	return &tfprotov6.GetProviderSchemaResponse{
		Provider:          p.schemas.Provider.schema(),
		ResourceSchemas:   protocols(p.schemas.Resource),
		DataSourceSchemas: protocols(p.schemas.Data),
	}, nil
}

func (p *provider) GetResourceIdentitySchemas(context.Context, *tfprotov6.GetResourceIdentitySchemasRequest) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov6.GetResourceIdentitySchemasResponse{}, nil
}

func (p *provider) ValidateProviderConfig(_ context.Context, request *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: request.Config}, nil
}

func (p *provider) ConfigureProvider(context.Context, *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	return &tfprotov6.ConfigureProviderResponse{}, nil
}

func (p *provider) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

func (p *provider) ValidateResourceConfig(context.Context, *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return &tfprotov6.ValidateResourceConfigResponse{}, nil
}

func (p *provider) ValidateDataResourceConfig(context.Context, *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return &tfprotov6.ValidateDataResourceConfigResponse{}, nil
}

func (p *provider) UpgradeResourceState(_ context.Context, request *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	kind := p.schemas.Resource[request.TypeName].schema().ValueType()
	state, err := request.RawState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	upgraded, err := tfprotov6.NewDynamicValue(kind, state)
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: &upgraded}, err
}

func (p *provider) ReadResource(_ context.Context, request *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	return &tfprotov6.ReadResourceResponse{NewState: request.CurrentState}, nil
}

func (p *provider) PlanResourceChange(_ context.Context, request *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	planned, err := change(p.schemas.Resource[request.TypeName], request.ProposedNewState, func(_ string, kind tftypes.Type) tftypes.Value {
		return tftypes.NewValue(kind, tftypes.UnknownValue)
	})
	return &tfprotov6.PlanResourceChangeResponse{PlannedState: planned}, err
}

func (p *provider) ApplyResourceChange(_ context.Context, request *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	applied, err := change(p.schemas.Resource[request.TypeName], request.PlannedState, func(name string, kind tftypes.Type) tftypes.Value {
		return invent(request.TypeName+"."+name, kind)
	})
	return &tfprotov6.ApplyResourceChangeResponse{NewState: applied}, err
}

func (p *provider) ReadDataSource(_ context.Context, request *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	read, err := change(p.schemas.Data[request.TypeName], request.Config, func(name string, kind tftypes.Type) tftypes.Value {
		return invent(request.TypeName+"."+name, kind)
	})
	return &tfprotov6.ReadDataSourceResponse{State: read}, err
}

// change sets the computed attributes of a resource that have no value; one that is destroyed stays null.
func change(schema block, value *tfprotov6.DynamicValue, decide func(name string, kind tftypes.Type) tftypes.Value) (*tfprotov6.DynamicValue, error) {
	kind := schema.schema().ValueType()
	given, err := value.Unmarshal(kind)
	if err != nil || given.IsNull() {
		return value, err
	}
	var fields map[string]tftypes.Value
	if err := given.As(&fields); err != nil {
		return nil, err
	}
	for name, each := range schema.Attributes {
		if strings.HasSuffix(name, "_wo") { // in no plan and no state
			fields[name] = tftypes.NewValue(each.Type.Type, nil)
		}
		if each.Kind == "computed" && (fields[name].IsNull() || !fields[name].IsKnown()) {
			fields[name] = decide(name, each.Type.Type)
		}
	}
	changed, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, fields))
	return &changed, err
}

// invent makes up a value that a cloud would decide.
func invent(name string, kind tftypes.Type) tftypes.Value {
	switch element := kind.(type) {
	case tftypes.List:
		return tftypes.NewValue(kind, []tftypes.Value{invent(name, element.ElementType)})
	case tftypes.Map:
		return tftypes.NewValue(kind, map[string]tftypes.Value{})
	case tftypes.Object:
		fields := make(map[string]tftypes.Value, len(element.AttributeTypes))
		for field, each := range element.AttributeTypes {
			fields[field] = invent(fmt.Sprintf("%s.%s", name, field), each)
		}
		return tftypes.NewValue(kind, fields)
	}
	switch {
	case kind.Is(tftypes.Number):
		return tftypes.NewValue(kind, 1)
	case kind.Is(tftypes.Bool):
		return tftypes.NewValue(kind, true)
	case strings.HasSuffix(name, ".account_id"):
		return tftypes.NewValue(tftypes.String, "123456789012")
	case strings.HasSuffix(name, ".certificate_authority.data"): // is decoded
		return tftypes.NewValue(tftypes.String, "Y2VydGlmaWNhdGU=")
	default:
		return tftypes.NewValue(tftypes.String, name)
	}
}
