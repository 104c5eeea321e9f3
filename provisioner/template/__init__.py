"""The declarations of a template and the values for them; nothing that runs a template."""
