"""The Celery producer, doorbells, and all that touches kombu; it imports only `db` of our code."""
