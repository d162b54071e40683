"""Commands ``volary member``, ``volary invitation`` and ``volary email-domain``."""

import sys
from collections.abc import Sequence
from datetime import timedelta

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform, yes
from controlplane.cli.operations import Duration
from controlplane.cli.tables import render_fields
from controlplane.client.calls import Message

_MEMBERS: Sequence[Column] = (
    ("MEMBER", read("userId")),
    ("NAME", read("name")),
    ("EMAIL", read("email")),
    ("ROLE", read("role")),
    ("LAST SEEN", time_of("seenAt")),
)
_INVITATIONS: Sequence[Column] = (
    ("INVITATION", read("id")),
    ("ROLE", read("role")),
    ("EMAIL", read("email")),
    ("PROJECT", read("project")),
    ("DOMAIN", read("domain")),
    ("EXPIRES", time_of("expiresAt")),
    ("USED", time_of("usedAt")),
)
_DOMAINS: Sequence[Column] = (("DOMAIN", read("name")), ("ROLE", read("role")))
_USER = click.argument("user_id", metavar="USER_ID")


@click.group()
def member() -> None:
    """List members, change their role, remove them."""


@member.command("list")
@click.option("--email", help="Only the member with this address.")
@click.option("--role", help="Only members with this role in the whole org.")
@with_platform
def list_members(platform: Platform, *, email: str | None, role: str | None) -> None:
    """List the members of the org."""
    platform.list("MemberService/ListMembers", "members", _MEMBERS, email=email, role=role)


@member.command()
@_USER
@with_platform
def show(platform: Platform, user_id: str) -> None:
    """Show a member."""
    _show_member(platform, platform.call("MemberService/GetMember", userId=user_id))


@member.command("set-role")
@_USER
@click.argument("role")
@with_platform
def set_role(platform: Platform, user_id: str, role: str) -> None:
    """Give a member a role in the whole org; "" leaves the roles of projects only."""
    answer = platform.call(
        "MemberService/UpdateMember", member={"userId": user_id, "role": role}, updateMask="role"
    )
    _show_member(platform, answer)


@member.command()
@_USER
@yes
@with_platform
def remove(platform: Platform, user_id: str) -> None:
    """Remove a member with their roles; their logins end."""
    platform.confirm(f"Remove member {user_id} from the org?")
    answer = platform.call("MemberService/RemoveMember", userId=user_id)
    platform.answer(answer, [f"Member {user_id} is removed."])


def _show_member(platform: Platform, answer: Message) -> None:
    found = answer["member"]
    platform.answer(
        answer,
        render_fields(
            {
                "member": found["userId"],
                "name": found.get("name"),
                "email": found.get("email"),
                "role": found.get("role"),
                "joined by": found.get("source"),
                "groups": ", ".join(found.get("groups", ())) or None,
                "since": time_of("createdAt")(found),
                "last seen": time_of("seenAt")(found),
            }
        ),
    )


@click.group()
def invitation() -> None:
    """Invite people to the org, by a link that works once."""


@invitation.command()
@click.option("--role", required=True, help="Role of the new member.")
@click.option("--email", help="The only verified address that may use the link.")
@click.option("--project", help="Bind the role in this project only.")
@click.option("--domain", help="Bind the role in this domain of the project only.")
@click.option("--lifetime", type=Duration(), help="How long the link works.  [default: 7 days]")
@with_platform
def create(
    platform: Platform,
    *,
    role: str,
    email: str | None,
    project: str | None,
    domain: str | None,
    lifetime: timedelta | None,
) -> None:
    """Create an invitation, and print its link, which is shown only now."""
    answer = platform.create(
        "InvitationService/CreateInvitation",
        role=role,
        email=email,
        project=project,
        domain=domain,
        lifetime=None if lifetime is None else f"{int(lifetime.total_seconds())}s",
    )
    platform.answer(answer, [answer.get("link", "")])


@invitation.command("list")
@with_platform
def list_invitations(platform: Platform) -> None:
    """List invitations, newest first."""
    platform.list("InvitationService/ListInvitations", "invitations", _INVITATIONS)


@invitation.command()
@click.argument("id_", metavar="ID")
@with_platform
def withdraw(platform: Platform, id_: str) -> None:
    """End an invitation; a member who joined by it stays."""
    answer = platform.call("InvitationService/WithdrawInvitation", id=id_)
    platform.answer(answer, [f"Invitation {id_} is withdrawn."])


@invitation.command()
@with_platform
def accept(platform: Platform) -> None:
    """Join an org: reads the invitation's token from a hidden prompt, or from a pipe."""
    if sys.stdin.isatty():
        token = click.prompt("Token of the invitation", hide_input=True, err=True)
    else:
        token = sys.stdin.readline(1000)
    answer = platform.call("InvitationService/AcceptInvitation", token=token.strip())
    platform.answer(
        answer, [f"You are a member of org {answer['org']}; run `volary login` to act in it."]
    )


_CLAIMS: Sequence[Column] = (
    ("DOMAIN", read("name")),
    ("ROLE", read("role")),
    ("PROVEN", time_of("provenAt")),
    ("MISSING SINCE", time_of("missingSince")),
    ("TXT RECORD", read("recordName")),
    ("VALUE", read("recordValue")),
)


@click.group("email-domain")
def email_domain() -> None:
    """Let people with a verified address in a domain join the org by themselves."""


@email_domain.command("list")
@with_platform
def list_domains(platform: Platform) -> None:
    """List the domains."""
    platform.list("EmailDomainService/ListEmailDomains", "emailDomains", _DOMAINS)


@email_domain.command()
@click.argument("name")
@click.option("--role", required=True, help="Role of those who join.")
@with_platform
def allow(platform: Platform, name: str, *, role: str) -> None:
    """Let people of a domain join; your own address must be in it."""
    answer = platform.call("EmailDomainService/AllowEmailDomain", name=name, role=role)
    platform.answer(answer, [f"People with an address in {name} join as {role}."])


@email_domain.command()
@click.argument("name")
@with_platform
def forbid(platform: Platform, name: str) -> None:
    """End joining by a domain; those who have joined stay."""
    answer = platform.call("EmailDomainService/ForbidEmailDomain", name=name)
    platform.answer(answer, [f"People with an address in {name} join by invitation only."])


@email_domain.command()
@click.argument("name")
@click.option("--role", required=True, help="Role of those who join.")
@with_platform
def claim(platform: Platform, name: str, *, role: str) -> None:
    """Claim a domain where you have no address; prints the DNS record that proves it."""
    answer = platform.call("EmailDomainService/ClaimEmailDomain", name=name, role=role)
    found = answer["claim"]
    lines = [f'TXT {found["recordName"]} "{found["recordValue"]}"']
    if "provenAt" not in found:
        lines += [f"Set this record and keep it, then run `volary email-domain verify {name}`."]
    platform.answer(answer, lines)


@email_domain.command()
@click.argument("name")
@with_platform
def verify(platform: Platform, name: str) -> None:
    """Look up the DNS record of a claimed domain, and let its people join."""
    answer = platform.call("EmailDomainService/VerifyEmailDomain", name=name)
    role = answer["claim"]["role"]
    platform.answer(answer, [f"People with an address in {name} join as {role}."])


@email_domain.command()
@with_platform
def claims(platform: Platform) -> None:
    """List the claimed domains with their records."""
    platform.list("EmailDomainService/ListEmailDomainClaims", "claims", _CLAIMS)
