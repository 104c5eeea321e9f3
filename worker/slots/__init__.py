"""The build slots of one process: claiming jobs and keeping their leases; not what a slot runs."""
