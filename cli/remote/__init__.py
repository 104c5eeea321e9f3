"""The API of a server, for commands that have its URL and a token instead of the database."""
