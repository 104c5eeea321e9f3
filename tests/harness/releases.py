"""The last released version."""

from __future__ import annotations

VERSION = "0.1.0"
COMMIT = "28f2e3b1c99e47d98c0bbbb34e6628c23d54ae1c"  #: what it was made from, where no tag says it
LAST_MIGRATION = "0003"
