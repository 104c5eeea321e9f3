"""People, templates, workspaces, chats, and enqueueing a build; not what happens to a job then."""
