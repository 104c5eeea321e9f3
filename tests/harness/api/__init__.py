"""A client of the HTTP API that decodes as Go does, and the commands of ``coder`` made with it."""
