"""The demo's builds, and what they must come to; nothing that production uses."""
