package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/listplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setdefault"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type identityProviderModel struct {
	ID                  types.String `tfsdk:"id"`
	Name                types.String `tfsdk:"name"`
	Issuer              types.String `tfsdk:"issuer"`
	ClientID            types.String `tfsdk:"client_id"`
	ClientSecret        types.String `tfsdk:"client_secret"`
	ClientSecretVersion types.Int64  `tfsdk:"client_secret_version"`
	Scopes              types.List   `tfsdk:"scopes"`
	GroupsClaim         types.String `tfsdk:"groups_claim"`
	EmailDomains        types.Set    `tfsdk:"email_domains"`
	Role                types.String `tfsdk:"role"`
	Disabled            types.Bool   `tfsdk:"disabled"`
	CallbackURL         types.String `tfsdk:"callback_url"`
	Version             types.Int64  `tfsdk:"version"`
}

type identityProviderMessage struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Issuer       string   `json:"issuer,omitempty"`
	ClientID     string   `json:"clientId"`
	Scopes       []string `json:"scopes"`
	GroupsClaim  string   `json:"groupsClaim"`
	EmailDomains []string `json:"emailDomains"`
	Role         string   `json:"role"`
	Disabled     bool     `json:"disabled"`
	CallbackURL  string   `json:"callbackUrl,omitempty"`
	Version      int64    `json:"version,string"`
}

type identityProviderEnvelope struct {
	IdentityProvider identityProviderMessage `json:"identityProvider"`
}

const identityProviderMask = "name,clientId,scopes,groupsClaim,emailDomains,role,disabled"

func newIdentityProvider() resource.Resource {
	return &kind[identityProviderModel]{
		name: "identity_provider",
		schema: schema.Schema{
			MarkdownDescription: "An OpenID Connect provider at which people of the org log in. It needs an owner's key, " +
				"as a provider can log anyone in. Destroying it ends the sessions that began there; members stay.",
			Attributes: map[string]schema.Attribute{
				"id":     fixed("Id of the provider."),
				"name":   schema.StringAttribute{Required: true, MarkdownDescription: "Name on the login page."},
				"issuer": schema.StringAttribute{Required: true, MarkdownDescription: "The https URL that the provider names as its issuer.", PlanModifiers: replaces},
				"client_id": schema.StringAttribute{
					Required: true, MarkdownDescription: "Client id at the provider.",
				},
				"client_secret": schema.StringAttribute{
					Optional: true, WriteOnly: true, Sensitive: true,
					MarkdownDescription: "Client secret at the provider, which is stored in no plan or state; none for a public client. " +
						"It is written with the resource, and again when `client_secret_version` changes.",
				},
				"client_secret_version": schema.Int64Attribute{
					Optional: true, MarkdownDescription: "Another number writes `client_secret` again.",
				},
				"scopes": schema.ListAttribute{
					Optional: true, Computed: true, ElementType: types.StringType,
					PlanModifiers:       []planmodifier.List{listplanmodifier.UseStateForUnknown()},
					MarkdownDescription: "Scopes that are asked for. Default: openid, email, profile, offline_access.",
				},
				"groups_claim": text("Claim with a person's groups, to which roles are bound; empty: none is read."),
				"email_domains": schema.SetAttribute{
					Optional: true, Computed: true, ElementType: types.StringType,
					Default:             setdefault.StaticValue(textSet(nil)),
					MarkdownDescription: "People with a verified address there become members at login.",
				},
				"role":         text("Role of those people in the whole org; empty: role bindings only."),
				"disabled":     flag("Nobody logs in there, and the sessions that began there end."),
				"callback_url": fixed("Address to register at the provider as the redirect address."),
				"version":      versionAttribute(),
			},
		},
		create: createIdentityProvider,
		read: func(c call, state *identityProviderModel) error {
			var answer identityProviderEnvelope
			request := map[string]string{"id": state.ID.ValueString()}
			if err := c.api.Call(c, "IdentityProviderService/GetIdentityProvider", request, &answer); err != nil {
				return err
			}
			state.set(answer.IdentityProvider)
			return nil
		},
		update: func(c call, plan, state *identityProviderModel) error {
			plan.ID = state.ID
			mask, secret := identityProviderMask, ""
			if !plan.ClientSecretVersion.Equal(state.ClientSecretVersion) {
				mask, secret = mask+",clientSecret", configured(c, "client_secret")
			}
			return updateIdentityProvider(c, plan, state.Version.ValueInt64(), mask, secret)
		},
		delete: func(c call, state *identityProviderModel) error {
			request := map[string]string{"id": state.ID.ValueString()}
			return c.api.Call(c, "IdentityProviderService/DeleteIdentityProvider", request, nil)
		},
		importAs: []string{"id"},
	}
}

func createIdentityProvider(c call, plan *identityProviderModel) error {
	request := map[string]any{
		"requestId":    newRequestID(),
		"name":         plan.Name.ValueString(),
		"issuer":       plan.Issuer.ValueString(),
		"clientId":     plan.ClientID.ValueString(),
		"clientSecret": configured(c, "client_secret"),
		"scopes":       plan.scopes(c),
		"groupsClaim":  plan.GroupsClaim.ValueString(),
		"emailDomains": parseSet(c, plan.EmailDomains),
		"role":         plan.Role.ValueString(),
	}
	var answer identityProviderEnvelope
	if err := c.api.Call(c, "IdentityProviderService/CreateIdentityProvider", request, &answer); err != nil {
		return err
	}
	disabled := plan.Disabled
	plan.set(answer.IdentityProvider)
	if !disabled.ValueBool() {
		return nil
	}
	wanted := *plan
	wanted.Disabled = disabled
	if err := updateIdentityProvider(c, &wanted, plan.Version.ValueInt64(), "disabled", ""); err != nil {
		return createdError{err}
	}
	*plan = wanted
	return nil
}

func updateIdentityProvider(c call, plan *identityProviderModel, version int64, mask, secret string) error {
	request := map[string]any{
		"identityProvider": identityProviderMessage{
			ID:           plan.ID.ValueString(),
			Name:         plan.Name.ValueString(),
			ClientID:     plan.ClientID.ValueString(),
			Scopes:       plan.scopes(c),
			GroupsClaim:  plan.GroupsClaim.ValueString(),
			EmailDomains: parseSet(c, plan.EmailDomains),
			Role:         plan.Role.ValueString(),
			Disabled:     plan.Disabled.ValueBool(),
			Version:      version,
		},
		"updateMask":   mask,
		"clientSecret": secret,
	}
	var answer identityProviderEnvelope
	if err := c.api.Call(c, "IdentityProviderService/UpdateIdentityProvider", request, &answer); err != nil {
		return err
	}
	plan.set(answer.IdentityProvider)
	return nil
}

// scopes returns the configured scopes; none: the API's default.
func (m *identityProviderModel) scopes(c call) []string {
	scopes := []string{}
	if !m.Scopes.IsNull() && !m.Scopes.IsUnknown() {
		m.Scopes.ElementsAs(c, &scopes, false)
	}
	return scopes
}

func (m *identityProviderModel) set(found identityProviderMessage) {
	m.ID = types.StringValue(found.ID)
	m.Name = types.StringValue(found.Name)
	m.Issuer = types.StringValue(found.Issuer)
	m.ClientID = types.StringValue(found.ClientID)
	m.Scopes = types.ListValueMust(types.StringType, textValues(found.Scopes))
	m.GroupsClaim = types.StringValue(found.GroupsClaim)
	m.EmailDomains = textSet(found.EmailDomains)
	m.Role = types.StringValue(found.Role)
	m.Disabled = types.BoolValue(found.Disabled)
	m.CallbackURL = types.StringValue(found.CallbackURL)
	m.Version = types.Int64Value(found.Version)
}

// configured returns a write-only value, which only the configuration has.
func configured(c call, attribute string) string {
	var value types.String
	c.diagnostics.Append(c.config.GetAttribute(c, path.Root(attribute), &value)...)
	return value.ValueString()
}
