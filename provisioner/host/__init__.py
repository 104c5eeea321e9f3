"""Processes, work directories and archives on this host; nothing about the meaning of templates."""
