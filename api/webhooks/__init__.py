"""Webhooks: sending events to addresses of users, signed, in order, until they are accepted."""
