"""Who runs which job and when: Celery, the slots, the chores around them; not how a job runs."""
