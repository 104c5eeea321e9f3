"""Whether a build may be paid for; not what it costs, which is read from its plan."""
