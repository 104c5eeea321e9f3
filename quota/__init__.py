"""Whether a build may be paid for. What it costs is read from its plan, in ``provisioner``."""
