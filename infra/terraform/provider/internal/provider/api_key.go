package provider

import (
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"volary.dev/terraform-provider-volary/internal/client"
)

type keyModel struct {
	ID               types.String `tfsdk:"id"`
	ServiceAccountID types.String `tfsdk:"service_account_id"`
	Name             types.String `tfsdk:"name"`
	ExpiresAt        types.String `tfsdk:"expires_at"`
	Keepers          types.Map    `tfsdk:"keepers"`
	ClientID         types.String `tfsdk:"client_id"`
	ClientSecret     types.String `tfsdk:"client_secret"`
	APIKey           types.String `tfsdk:"api_key"`
}

type keyMessage struct {
	ID               string    `json:"id"`
	ServiceAccountID string    `json:"serviceAccountId"`
	Name             string    `json:"name"`
	ClientID         string    `json:"clientId"`
	ExpiresAt        time.Time `json:"expiresAt"`
	RevokedAt        time.Time `json:"revokedAt"`
}

type keyEnvelope struct {
	Key    keyMessage `json:"apiKey"`
	Secret struct {
		APIKey       string `json:"apiKey"`
		ClientSecret string `json:"clientSecret"`
	} `json:"secret"`
}

func newAPIKey() resource.Resource {
	secret := func(description string) schema.StringAttribute {
		attribute := fixed(description)
		attribute.Sensitive = true
		return attribute
	}
	return &kind[keyModel]{
		name: "api_key",
		schema: schema.Schema{
			MarkdownDescription: "An API key of a service account. Its secret is in the state, which therefore has to be kept " +
				"as a secret. A key that was revoked or has expired is planned again; destroying it revokes it.",
			Attributes: map[string]schema.Attribute{
				"id": fixed("Id of the key."),
				"service_account_id": schema.StringAttribute{
					Required: true, MarkdownDescription: "Id of the service account.", PlanModifiers: replaces,
				},
				"name": schema.StringAttribute{
					Required: true, MarkdownDescription: "Name for people.", PlanModifiers: replaces,
				},
				"expires_at": schema.StringAttribute{
					Optional: true, PlanModifiers: replaces, Validators: []validator.String{isTime{}},
					MarkdownDescription: "When the key ends, as in `2027-01-31T00:00:00Z`; none: never.",
				},
				"keepers": schema.MapAttribute{
					Optional: true, ElementType: types.StringType,
					PlanModifiers: []planmodifier.Map{mapplanmodifier.RequiresReplace()},
					MarkdownDescription: "Values of your choice: another value makes another key. With " +
						"`lifecycle { create_before_destroy = true }` the old one works until then.",
				},
				"client_id":     fixed("Client id at the token endpoint."),
				"client_secret": secret("Client secret at the token endpoint; empty if the key was imported."),
				"api_key":       secret("The key in the form of `FLYTE_API_KEY` and `VOLARY_API_KEY`; empty if the key was imported."),
			},
		},
		create: createKey,
		read: func(c call, state *keyModel) error {
			var answer keyEnvelope
			request := map[string]string{"id": state.ID.ValueString()}
			if err := c.api.Call(c, "ApiKeyService/GetApiKey", request, &answer); err != nil {
				return err
			}
			found := answer.Key
			if !found.RevokedAt.IsZero() || (!found.ExpiresAt.IsZero() && found.ExpiresAt.Before(time.Now())) {
				return &client.Error{Code: client.NotFound, Message: "the key has ended"}
			}
			state.set(found)
			return nil
		},
		delete: func(c call, state *keyModel) error {
			return c.api.Call(c, "ApiKeyService/RevokeApiKey", map[string]string{"id": state.ID.ValueString()}, nil)
		},
		importAs: []string{"id"},
	}
}

// createKey creates a key. The secret is in the first answer only: if that was lost, the key that
// was made is revoked, and another is made.
func createKey(c call, plan *keyModel) error {
	for {
		request := map[string]string{
			"requestId":        newRequestID(),
			"serviceAccountId": plan.ServiceAccountID.ValueString(),
			"name":             plan.Name.ValueString(),
		}
		if at := plan.ExpiresAt.ValueString(); at != "" {
			request["expiresAt"] = at
		}
		var answer keyEnvelope
		if err := c.api.Call(c, "ApiKeyService/CreateApiKey", request, &answer); err != nil {
			return err
		}
		if answer.Secret.APIKey != "" {
			plan.set(answer.Key)
			plan.APIKey = types.StringValue(answer.Secret.APIKey)
			plan.ClientSecret = types.StringValue(answer.Secret.ClientSecret)
			return nil
		}
		if err := c.api.Call(c, "ApiKeyService/RevokeApiKey", map[string]string{"id": answer.Key.ID}, nil); err != nil {
			return err
		}
	}
}

func (m *keyModel) set(found keyMessage) {
	m.ID = types.StringValue(found.ID)
	m.ServiceAccountID = types.StringValue(found.ServiceAccountID)
	m.Name = types.StringValue(found.Name)
	m.ClientID = types.StringValue(found.ClientID)
	m.ExpiresAt = sameTime(m.ExpiresAt, found.ExpiresAt)
	if m.APIKey.IsNull() { // imported
		m.APIKey, m.ClientSecret = types.StringValue(""), types.StringValue("")
	}
}
