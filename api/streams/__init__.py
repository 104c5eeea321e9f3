"""Streams: logs and events that are pushed to clients as they are committed.

One connection of the process listens for notices, and one reader for each followed job reads what
is new and gives it to all followers of that job.
"""
