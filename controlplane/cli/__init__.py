"""
The ``volary`` command.

Its commands are imported when they are called, because a command must start at once: the remote
ones load the standard library and click only, while the programs take a second to import.
"""

import gc
import importlib
from collections.abc import Mapping

import click

# Where each command is, and its line of `volary --help`.
_COMMANDS: Mapping[str, tuple[str, str]] = {
    "agent": ("programs:agent", "Run an agent, or its doctor: an alias of volary-agent."),
    "apikey": ("accounts:apikey", "Create, rotate and revoke API keys of service accounts."),
    "artifact": ("artifacts:artifact", "Show which runs took a version of an artifact."),
    "audit": ("identity:audit", "List, verify and export the audit log of an org."),
    "backup": ("backups:backup", "Copy the whole database to a file or a bucket."),
    "cluster": (
        "clusters:cluster",
        "Create clusters and admit agents; take clusters out of service.",
    ),
    "context": ("logins:context", "List and choose the logins that commands use."),
    "controlplane": ("programs:controlplane", "Run the hosted control plane."),
    "db": ("db:db", "Upgrade and check the schema of the control plane's database."),
    "domain": ("domains:domain", "List, create, rename and delete the domains of all projects."),
    "email-domain": ("members:email_domain", "Let people of an e-mail domain join the org."),
    "explain": ("explanations:explain", "Explain the state of a run or an action."),
    "identity-provider": (
        "identity_providers:identity_provider",
        "Configure the identity providers at which people log in.",
    ),
    "invitation": ("members:invitation", "Invite people to the org, by a link."),
    "login": ("logins:login", "Log in to a control plane."),
    "logout": ("logins:logout", "End a login."),
    "member": ("members:member", "List members, change their role, remove them."),
    "notification": (
        "notifications:notification",
        "Configure notifications about runs; list and send them again.",
    ),
    "org": ("orgs:org", "Show, rename, create, join, list and delete orgs."),
    "owner-link": ("identity:owner_link", "Print a link that makes a person an owner of the org."),
    "pool": ("clusters:pool", "List the pools that clusters and queues name."),
    "queue": ("queues:queue", "Configure queues: pool, priority and limits of each."),
    "quota": ("quotas:quota", "Limit what an org and its projects may use."),
    "restore": ("backups:restore", "Check a backup, or fill an empty database from it."),
    "restored": ("restored:restored", "See and release clusters after a restore."),
    "role": ("roles:role", "Make roles, and bind them to people, programs and groups."),
    "run": ("runs:run", "Archive, hold and purge runs; show what they published."),
    "secret": ("secrets:secret", "List and rotate secrets; seal them again."),
    "service-account": ("accounts:service_account", "Manage the identities of programs."),
    "session": ("orgs:session", "List and end logins of people."),
    "settings": (
        "scoped_settings:settings",
        "Show and change what orgs, domains and projects give their runs.",
    ),
    "trigger": ("triggers:trigger", "Show when triggers fire and what became of it; fire them."),
    "up": ("programs:up", "Run everything on this machine, until Ctrl-C."),
    "usage": ("usage:usage", "Show what attempts used; export a month of it."),
    "version": ("programs:version", "Print the versions to include in a bug report."),
    "whoami": ("logins:whoami", "Print who is logged in, and where."),
}


class _Commands(click.Group):
    """Imports a command when it is called; help does not import any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        was_enabled = gc.isenabled()
        gc.disable()  # imports make no garbage, and collecting them takes a fifth of their time
        try:
            imported = importlib.import_module(f"{__name__}.{module}")
        finally:
            if was_enabled:
                gc.enable()
        command: click.Command = getattr(imported, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Volary: a control plane for Flyte 2, and an agent for each cluster."""
