"""Whether secrets in the database are sealed, and with keys that are here."""

from __future__ import annotations

from cli.doctor.result import CheckResult, ok, problem, warning
from db.engine import Database
from db.sealing.keyring import Keyring
from db.sealing.rekey import PLAIN, sample_by_key

NAME = "encryption"


def check_encryption(database: Database, keyring: Keyring) -> CheckResult:
    """Check the keys against some of the stored states."""
    found = sample_by_key(database)
    here = {key.name for key in keyring.keys}
    if missing := sorted(found.keys() - here - {PLAIN}):
        return problem(
            NAME,
            f"states are sealed with key {missing[0]}, which is not here: their builds fail",
            "Add the key to PROVISIONERD_ENCRYPTION_KEYS again, behind the first one.",
        )
    if keyring.first is None:
        return warning(
            NAME,
            "states and secrets are stored as plain text",
            "Set PROVISIONERD_ENCRYPTION_KEYS_FILE for all workers and APIs, and run"
            " `provisionerd rekey`.",
        )
    if found.keys() - {keyring.first.name}:
        return warning(
            NAME,
            f"not all states are sealed with the first key, {keyring.first.name}",
            "Run `provisionerd rekey`.",
        )
    return ok(NAME, f"states and secrets are sealed with key {keyring.first.name}")
