"""The demo: its builds and how each must end; production uses none of this."""
