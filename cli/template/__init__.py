"""``provisionerd template``: push, list, inspect and change templates and their versions."""
