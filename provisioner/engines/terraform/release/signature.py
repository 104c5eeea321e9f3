"""Detached OpenPGP signatures, and the key with which HashiCorp signs releases.

The key in ``hashicorp.asc`` is C874 011F 0AB4 0511 0D02 1055 3436 5D94 72D7 468F, as HashiCorp
publishes it. It expired in April 2026: what was signed before stays valid.
"""

from __future__ import annotations

from pathlib import Path

HASHICORP = Path(__file__).with_name("hashicorp.asc")


class SignatureError(Exception):
    """Something is not signed by the key; the message is the reason."""


def check_signature(data: bytes, signature: bytes, key: bytes) -> None:
    """Check that ``data`` was signed by ``key`` while the key was valid.

    Args:
        data: what was signed.
        signature: the detached signature, armored or not.
        key: the public key, armored or not.

    Raises:
        SignatureError: it was not, or the signature cannot be read.
    """
    # Here: only a process that fetched Terraform, or may have to, loads the library.
    import pysequoia  # noqa: PLC0415

    # Its errors are of general types, and their messages have a trace of the library in them.
    try:
        signer = pysequoia.Cert.from_bytes(key)
        given = pysequoia.Sig.from_bytes(signature)
        pysequoia.verify(bytes=data, store=lambda _ids: [signer], signature=given)
    except Exception as error:
        raise SignatureError("it has no valid signature of the expected key") from error
