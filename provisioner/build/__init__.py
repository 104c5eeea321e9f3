"""One attempt to run a job: its steps, how they can end, its log; not how an engine works."""
