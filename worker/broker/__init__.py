"""The Celery producer, doorbells, and all that touches kombu; of ours it imports `db` alone."""
