"""Enqueue a build in a transaction of Django.

Usage: django_orm.py WORKSPACE_ID [--roll-back]; DATABASE_URL names the database.
"""

import os
import sys
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.db import connection, transaction

url = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path.lstrip("/"),
            "USER": url.username,
            "PASSWORD": unquote(url.password or ""),
            "HOST": url.hostname,
            "PORT": url.port,
        }
    }
)
django.setup()

ENQUEUE = "SELECT job_id, queue FROM provisionerd.enqueue_build(%s::uuid, 'start')"

with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute("INSERT INTO orders (what) VALUES ('a workspace')")  # or save a model
    cursor.execute(ENQUEUE, [sys.argv[1]])
    print(*cursor.fetchone())
    if "--roll-back" in sys.argv:
        transaction.set_rollback(True)
