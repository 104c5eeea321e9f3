"""``provisionerd doctor``: checks whether builds can run on this host and in the deployment."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click
from pydantic import SecretStr

from cli.doctor.host import check_data_dir, check_database, check_redis, check_terraform
from cli.doctor.result import CheckResult, Verdict, ok, problem
from cli.doctor.sandbox import check_sandbox
from cli.options import output_option
from cli.printing import DOCUMENTS, print_document, print_rows
from cli.remote.server import needs_database
from cli.table import Columns
from worker.embedded import Embedded, EmbeddedError, start_embedded
from worker.settings import Settings, SettingsError, load_settings

COLUMNS: Columns[CheckResult] = {
    "CHECK": lambda row: row.check,
    "VERDICT": lambda row: row.verdict,
    "FOUND": lambda row: row.found,
    "FIX": lambda row: row.fix,
}


@click.command()
@output_option
def doctor(output: str) -> None:
    r"""Check settings, services and workers, and show how to fix problems.

    \b
    Nothing is changed. The exit status is 1 when there is a problem; warnings
    do not count.

    \b
    Example:
        provisionerd doctor
        provisionerd doctor --output json
    """
    needs_database()
    results = list(_examine())
    if output in DOCUMENTS:
        print_document([asdict(result) for result in results], output)
    else:
        print_rows(results, COLUMNS, output=output, kind="results")
    if any(result.verdict is Verdict.PROBLEM for result in results):
        sys.exit(1)


def _examine() -> Iterator[CheckResult]:
    try:
        settings = load_settings()
    except SettingsError as error:
        yield problem("settings", str(error), "Correct the environment variables PROVISIONERD_*.")
        return
    yield ok("settings", "known and consistent")
    yield from check_data_dir(settings)
    yield from check_terraform(settings)
    yield from check_sandbox(settings)
    try:
        with _embedded(settings) as servers:
            yield from check_database(
                _url(settings.database_url, servers.database_url),
                is_embedded=settings.database_url is None,
                prepared_statements=settings.prepared_statements,
                keyring=settings.keyring,
            )
            redis_url = settings.redis_address or servers.redis_url
            assert redis_url is not None
            yield from check_redis(redis_url, is_embedded=settings.redis_url is None)
    except EmbeddedError as error:
        yield problem(
            "embedded services",
            str(error),
            "Set PROVISIONERD_DATABASE_URL and PROVISIONERD_REDIS_URL to your own servers.",
        )


@contextmanager
def _embedded(settings: Settings) -> Iterator[Embedded]:
    wants_postgres, wants_redis = settings.database_url is None, settings.redis_url is None
    if not (wants_postgres or wants_redis):
        yield Embedded(database_url=None, redis_url=None)
        return
    with start_embedded(settings.data_dir, postgres=wants_postgres, redis=wants_redis) as servers:
        yield servers


def _url(configured: SecretStr | None, embedded: str | None) -> str:
    url = configured.get_secret_value() if configured else embedded
    assert url is not None
    return url
