"""Initialized directories and provider packages that builds of a host share; runs nothing."""
