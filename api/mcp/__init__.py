"""Agents' tools over the Model Context Protocol: the server and its door over HTTP, no tool."""
