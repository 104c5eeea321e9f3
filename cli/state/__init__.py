"""``provisionerd state``: the commands, what they list, and the files that they read and write."""
