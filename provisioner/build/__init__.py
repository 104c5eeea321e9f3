"""One attempt to run a job: its steps, its endings and its log; not how an engine works."""
