"""What the platform gives to a build: its URL, scripts of agents, facts, secrets by a hook."""
