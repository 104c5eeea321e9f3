"""People, templates, workspaces and chats, and enqueueing a build of one; not how a job goes on."""
