"""What a template declares, and the values that it gets; nothing that runs it."""
