"""The routes, by what they are about. Each checks the caller's rights before it reads or writes."""
