"""Tools for an owner's own workspaces, by name; a chat's one workspace is not their business."""
