"""``provisionerd state``: the commands, their output, and the files that they read and write."""
