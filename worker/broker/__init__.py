"""The Celery producer, doorbells, and all code that uses kombu; imports only `db` of our code."""
