"""Processes, work directories and archives of this machine; nothing about what a template means."""
