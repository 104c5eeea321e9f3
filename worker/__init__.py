"""When and where jobs run: Celery, slots and background chores; not how a job runs."""
