"""``provisionerd rekey``: turn secrets over to the first key."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import click

from cli.opening import opened
from cli.options import output_option
from cli.printing import DOCUMENTS, print_document, print_facts, print_rows
from cli.table import Columns
from db.sealing.keyring import Keyring
from db.sealing.rekey import BROKEN, PLAIN, Rekeyed, count_by_key
from db.sealing.rekey import rekey as rekey_database
from provisioner.host.orphans import reseal_orphans
from worker.settings import load_settings


@dataclass(frozen=True, kw_only=True)
class KeyUse:
    """A key, and how many secrets are sealed with it."""

    key: str
    secrets: int
    role: str


COLUMNS: Columns[KeyUse] = {
    "KEY": lambda row: row.key,
    "SECRETS": lambda row: row.secrets,
    "ROLE": lambda row: row.role,
}
ROLES = {PLAIN: "none: plain text", BROKEN: "none: only begins like a sealed value"}


@click.command()
@click.option("--dry-run", is_flag=True, help="Only count the secrets under each key.")
@output_option
def rekey(dry_run: bool, output: str) -> None:
    r"""Seal all secrets in the database with the first key of the settings.

    These are states, sensitive variables and parameters, and the secrets of
    webhooks. Builds go on meanwhile. An interrupted run is resumed by running
    it again. Orphaned states on this host are sealed again, too.

    To rotate: write the new key before the old one in
    PROVISIONERD_ENCRYPTION_KEYS of every worker and API, restart them, run this,
    and remove the old key when --dry-run counts nothing under it. Rows that a
    backup brings back need the old key again: keep it as long as the backups.

    \b
    Example:
        provisionerd rekey --dry-run
        provisionerd rekey
    """
    settings = load_settings()
    if dry_run:
        with opened() as services:
            counts = count_by_key(services.database, on_progress=_show)
        _print_counts(list(_uses(counts, settings.keyring)), output)
        return
    if settings.keyring.first is None:
        raise click.ClickException(
            "there is no key: set PROVISIONERD_ENCRYPTION_KEYS or PROVISIONERD_ENCRYPTION_KEYS_FILE"
        )
    with opened() as services:
        done = rekey_database(services.database, settings.keyring, on_progress=_show)
    done.turned["orphaned states"] = reseal_orphans(settings.work_root, settings.keyring)
    _report(done, settings.keyring.first.name, output)


def _show(noun: str, seen: int) -> None:
    """Show the progress on a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{noun}: {seen}", nl=False, err=True)


def _uses(counts: Mapping[str, int], keyring: Keyring) -> Iterator[KeyUse]:
    roles = {key.name: "opens" for key in keyring.keys} | dict(ROLES)
    if keyring.first:
        roles[keyring.first.name] = "seals and opens"
    for name in dict.fromkeys([*(key.name for key in keyring.keys), *sorted(counts)]):
        role = roles.get(name, "missing here: what it sealed cannot be used")
        yield KeyUse(key=name, secrets=counts.get(name, 0), role=role)


def _print_counts(uses: list[KeyUse], output: str) -> None:
    if output not in DOCUMENTS and sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    print_rows(uses, COLUMNS, output=output, kind="secrets")


def _report(done: Rekeyed, key: str, output: str) -> None:
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    turned = {noun: count for noun, count in done.turned.items() if count}
    if output in DOCUMENTS:
        print_document({"key": key, "turned": turned, "failed": done.failed}, output)
    else:
        click.echo(f"Sealed with key {key}:")
        print_facts(turned or {"secrets": 0})
    _check(done)


def _check(done: Rekeyed) -> None:
    """Name what was left as it is; nothing is left after a whole run."""
    for problem in done.problems:
        click.echo(f"Left as it is: {problem}.", err=True)
    if done.failed:
        raise click.ClickException(f"{done.failed} secrets were left as they are")
    if not done.is_complete:
        raise click.ClickException("builds changed secrets all the time; run the command again")
