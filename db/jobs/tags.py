"""Tags of jobs and workers, and the queues that they map to.

The tags of a job determine its queue. A worker serves the queue of every tag set that it
satisfies: untagged jobs run on untagged workers only; a tagged job runs on workers that have all of
its tags; a user's jobs run on that user's workers only. Source: Coder (docs/admin/provisioners).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from itertools import combinations

from db.errors import InvalidError
from db.texts import storable

UNTAGGED_QUEUE = "builds"
SCOPE_TAGS = ("scope", "owner")
# A worker subscribes to the queue of each subset of its tags. One BRPOP on 2 ** 6 queues is still
# cheap; on more it would not be.
MAX_WORKER_TAGS = 6


def normalize_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return ``tags`` with ``scope`` and ``owner`` filled in and keys sorted.

    Raises:
        InvalidError: a tag is empty or cannot be stored, the scope is unknown, or a user scope has
            no owner.
    """
    _check_storable(tags)
    scope = tags.get("scope", "organization")
    owner = tags.get("owner", "")
    if scope not in {"organization", "user"}:
        raise InvalidError(f'the tag "scope" must be organization or user, not {scope!r}')
    if (scope == "user") != bool(owner):
        raise InvalidError('the tag "owner" goes with scope=user, and scope=user needs an owner')
    return dict(sorted({**tags, "scope": scope, "owner": owner}.items()))


def with_owner(tags: Mapping[str, str], owner_id: uuid.UUID) -> dict[str, str]:
    """Return the tags of a job of this owner: only ``scope=user`` has an owner, and it is that one.

    Nobody can name another owner, whose workers have credentials of their own.

    Raises:
        InvalidError: as ``normalize_tags``.
    """
    is_of_user = tags.get("scope") == "user"
    return normalize_tags({**tags, "owner": str(owner_id) if is_of_user else ""})


def queue_name(tags: Mapping[str, str]) -> str:
    """Return the queue of jobs with these tags: ``builds`` if there are no tags but the scope."""
    normal = normalize_tags(tags)
    if normal["scope"] == "organization" and not _own_tags(normal):
        return UNTAGGED_QUEUE
    digest = hashlib.sha256(json.dumps(normal, sort_keys=True).encode()).hexdigest()
    return f"{UNTAGGED_QUEUE}-{digest[:16]}"


def served_queues(worker_tags: Mapping[str, str]) -> list[str]:
    """Return the queues that a worker with these tags serves, those with the most tags first.

    Raises:
        InvalidError: the tags are not allowed, or there are more than ``MAX_WORKER_TAGS``.
    """
    return list(named_queues(worker_tags))


def named_queues(worker_tags: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """Return the queues that a worker with these tags serves, each with the tags of its jobs.

    Raises:
        InvalidError: as ``served_queues``.
    """
    normal = normalize_tags(worker_tags)
    own = _own_tags(normal)
    if len(own) > MAX_WORKER_TAGS:
        raise InvalidError(f"a worker can have at most {MAX_WORKER_TAGS} tags, not {len(own)}")
    scope = {key: normal[key] for key in SCOPE_TAGS}
    if not own:
        return {queue_name(scope): scope}
    # Only in the scope of a user does a worker with tags serve untagged jobs, too.
    smallest = 1 if scope["scope"] == "organization" else 0
    jobs = [{**scope, **subset} for subset in _subsets(own, smallest)]
    return {queue_name(tags): tags for tags in jobs}


def missing_tags(job_tags: Mapping[str, str], worker_tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of the job that the worker lacks, or has with another value."""
    job, worker = normalize_tags(job_tags), normalize_tags(worker_tags)
    return {key: value for key, value in job.items() if worker.get(key) != value}


def _check_storable(tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if not key.strip() or storable(key + value) != key + value:
            raise InvalidError(
                "tags cannot be empty, contain the null byte (0x00) or be invalid Unicode text"
            )


def _own_tags(normal: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in normal.items() if key not in SCOPE_TAGS}


def _subsets(tags: Mapping[str, str], smallest: int) -> Iterator[dict[str, str]]:
    for size in range(len(tags), smallest - 1, -1):
        for items in combinations(tags.items(), size):
            yield dict(items)
