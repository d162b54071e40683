package provider

import (
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"volary.dev/terraform-provider-volary/internal/client"
)

type memberModel struct {
	Email          types.String `tfsdk:"email"`
	Role           types.String `tfsdk:"role"`
	UserID         types.String `tfsdk:"user_id"`
	InvitationID   types.String `tfsdk:"invitation_id"`
	InvitationLink types.String `tfsdk:"invitation_link"`
}

type memberMessage struct {
	UserID  string `json:"userId"`
	Email   string `json:"email,omitempty"`
	Role    string `json:"role"`
	Version int64  `json:"version,string"`
}

type invitationMessage struct {
	ID        string    `json:"id"`
	Role      string    `json:"role"`
	UsedAt    time.Time `json:"usedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func newMember() resource.Resource {
	return &kind[memberModel]{
		name: "member",
		schema: schema.Schema{
			MarkdownDescription: "A person with a role in the whole org. One who is not a member yet is invited: send them " +
				"`invitation_link`, which works once, for seven days; after that the next plan makes another one. Destroying it " +
				"removes the member, or withdraws the invitation.",
			Attributes: map[string]schema.Attribute{
				"email": schema.StringAttribute{
					Required: true, PlanModifiers: replaces,
					MarkdownDescription: "The person's verified e-mail address.",
				},
				"role": schema.StringAttribute{
					Required: true, MarkdownDescription: "Name of a role in the whole org.",
				},
				"user_id":       schema.StringAttribute{Computed: true, MarkdownDescription: "Id of the member; empty: not joined yet."},
				"invitation_id": schema.StringAttribute{Computed: true, MarkdownDescription: "Id of the invitation; empty: not invited by this resource."},
				"invitation_link": schema.StringAttribute{
					Computed: true, Sensitive: true,
					MarkdownDescription: "Link for the person who is invited; empty once they have joined.",
				},
			},
		},
		create: func(c call, plan *memberModel) error {
			found, err := findMember(c, plan.Email.ValueString())
			if err != nil {
				return err
			}
			if found == nil {
				return invite(c, plan)
			}
			return setRole(c, plan, *found)
		},
		read: func(c call, state *memberModel) error {
			found, err := findMember(c, state.Email.ValueString())
			if err != nil {
				return err
			}
			if found != nil {
				state.joined(*found)
				return nil
			}
			return readInvitation(c, state)
		},
		update: func(c call, plan, state *memberModel) error {
			found, err := findMember(c, plan.Email.ValueString())
			if err != nil {
				return err
			}
			if found != nil {
				return setRole(c, plan, *found)
			}
			if err := withdraw(c, state); err != nil && !client.HasCode(err, client.NotFound) {
				return err
			}
			return invite(c, plan)
		},
		delete: func(c call, state *memberModel) error {
			found, err := findMember(c, state.Email.ValueString())
			switch {
			case err != nil:
				return err
			case found != nil:
				return c.api.Call(c, "MemberService/RemoveMember", map[string]string{"userId": found.UserID}, nil)
			default:
				return withdraw(c, state)
			}
		},
		importAs: []string{"email"},
	}
}

// findMember returns the member with an address; nil if there is none.
func findMember(c call, email string) (*memberMessage, error) {
	var answer struct {
		Members []memberMessage `json:"members"`
	}
	if err := c.api.Call(c, "MemberService/ListMembers", map[string]string{"email": email}, &answer); err != nil {
		return nil, err
	}
	for _, each := range answer.Members {
		if strings.EqualFold(each.Email, email) {
			return &each, nil
		}
	}
	return nil, nil
}

func setRole(c call, plan *memberModel, found memberMessage) error {
	var answer struct {
		Member memberMessage `json:"member"`
	}
	request := map[string]any{
		"member":     memberMessage{UserID: found.UserID, Role: plan.Role.ValueString(), Version: found.Version},
		"updateMask": "role",
	}
	if err := c.api.Call(c, "MemberService/UpdateMember", request, &answer); err != nil {
		return err
	}
	plan.joined(answer.Member)
	return nil
}

// invite makes an invitation. Its link is in the first answer only: if that was lost, the
// invitation is withdrawn, and another is made.
func invite(c call, plan *memberModel) error {
	for {
		var answer struct {
			Invitation invitationMessage `json:"invitation"`
			Link       string            `json:"link"`
		}
		request := map[string]string{
			"requestId": newRequestID(),
			"role":      plan.Role.ValueString(),
			"email":     plan.Email.ValueString(),
		}
		if err := c.api.Call(c, "InvitationService/CreateInvitation", request, &answer); err != nil {
			return err
		}
		plan.UserID = types.StringValue("")
		plan.InvitationID = types.StringValue(answer.Invitation.ID)
		plan.InvitationLink = types.StringValue(answer.Link)
		if answer.Link != "" {
			return nil
		}
		if err := withdraw(c, plan); err != nil {
			return err
		}
	}
}

func readInvitation(c call, state *memberModel) error {
	gone := &client.Error{Code: client.NotFound, Message: "the person is neither a member nor invited"}
	if state.InvitationID.ValueString() == "" {
		return gone
	}
	var answer struct {
		Invitation invitationMessage `json:"invitation"`
	}
	request := map[string]string{"id": state.InvitationID.ValueString()}
	if err := c.api.Call(c, "InvitationService/GetInvitation", request, &answer); err != nil {
		return err
	}
	if !answer.Invitation.UsedAt.IsZero() || answer.Invitation.ExpiresAt.Before(time.Now()) {
		return gone
	}
	state.Role = types.StringValue(answer.Invitation.Role)
	return nil
}

func withdraw(c call, state *memberModel) error {
	if state.InvitationID.ValueString() == "" {
		return nil
	}
	request := map[string]string{"id": state.InvitationID.ValueString()}
	return c.api.Call(c, "InvitationService/WithdrawInvitation", request, nil)
}

func (m *memberModel) joined(found memberMessage) {
	m.Role = types.StringValue(found.Role)
	m.UserID = types.StringValue(found.UserID)
	m.InvitationID, m.InvitationLink = types.StringValue(""), types.StringValue("")
}
