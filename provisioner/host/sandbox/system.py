"""What every command in a sandbox may read of its host: programs, libraries, public settings."""

from __future__ import annotations

from pathlib import Path

ROOTS = tuple(map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")))
"""Programs and libraries. Most are links into /usr today."""

SETTINGS = tuple(
    Path("/etc", name)
    for name in (
        # Not whole folders such as /etc/ssl and /etc/ssh, which also contain private keys. Each
        # entry costs each command a fifth of a millisecond, so rare ones are the operator's.
        "alternatives",
        "gitconfig",
        "group",
        "hosts",
        "ld.so.cache",
        "localtime",
        "nsswitch.conf",
        "passwd",
        "pki/ca-trust",
        "pki/tls/cert.pem",
        "pki/tls/certs",
        "resolv.conf",
        "services",
        "ssh/ssh_config",
        "ssh/ssh_known_hosts",
        "ssl/cert.pem",
        "ssl/certs",
        "ssl/openssl.cnf",
    )
)
"""Files and folders that programs need and everybody may know."""
