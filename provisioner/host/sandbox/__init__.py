"""Sandboxes for the commands of templates: what they may see, and what watches over them."""
