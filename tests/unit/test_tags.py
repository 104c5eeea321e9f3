from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.errors import InvalidError
from db.jobs.tags import (
    MAX_WORKER_TAGS,
    UNTAGGED_QUEUE,
    missing_tags,
    normalize_tags,
    queue_name,
    served_queues,
)

ON_PREM = {"environment": "on-prem"}
CHICAGO = {"environment": "on-prem", "datacenter": "chicago"}
NEW_YORK = {"environment": "on-prem", "datacenter": "new_york"}
AAA = {"scope": "user", "owner": "aaa"}
BBB = {"scope": "user", "owner": "bbb"}

own_tags = st.dictionaries(
    st.sampled_from(("a", "b", "c", "d")), st.sampled_from(("1", "2")), max_size=3
)
scopes = st.sampled_from(({}, AAA, BBB, {"scope": "organization"}))
tag_sets = st.builds(lambda own, scope: {**own, **scope}, own_tags, scopes)

Tags = Mapping[str, str]


@pytest.mark.parametrize(
    ("worker", "job", "runs"),
    [
        ({}, {}, True),
        (ON_PREM, ON_PREM, True),
        (CHICAGO, ON_PREM, True),
        (CHICAGO, CHICAGO, True),
        (AAA, AAA, True),
        ({**ON_PREM, **AAA}, AAA, True),
        ({**ON_PREM, **AAA}, {**ON_PREM, **AAA}, True),
        ({}, ON_PREM, False),
        (ON_PREM, {}, False),
        (ON_PREM, CHICAGO, False),
        (NEW_YORK, CHICAGO, False),
        (AAA, {}, False),
        (AAA, BBB, False),
        ({}, AAA, False),
        ({}, {**ON_PREM, **AAA}, False),
        (AAA, {**ON_PREM, **AAA}, False),
    ],
)
def test_a_worker_serves_the_jobs_whose_tags_it_satisfies(
    worker: Tags, job: Tags, runs: bool
) -> None:
    assert (queue_name(job) in served_queues(worker)) == runs


@given(worker=tag_sets, job=tag_sets)
def test_a_worker_serves_a_queue_iff_it_lacks_no_tag_or_neither_has_any(
    worker: Tags, job: Tags
) -> None:
    is_untagged_job = queue_name(job) == UNTAGGED_QUEUE
    is_untagged_worker = served_queues(worker) == [UNTAGGED_QUEUE]
    expected = is_untagged_worker if is_untagged_job else not missing_tags(job, worker)
    assert (queue_name(job) in served_queues(worker)) == expected


@given(tags=tag_sets)
def test_the_order_of_tags_and_implied_ones_do_not_change_the_queue(tags: Tags) -> None:
    assert queue_name(dict(reversed(normalize_tags(tags).items()))) == queue_name(tags)


@given(worker=tag_sets)
def test_no_queue_is_served_twice(worker: Tags) -> None:
    queues = served_queues(worker)
    assert len(queues) == len(set(queues))


def test_jobs_of_most_tags_come_first() -> None:
    assert served_queues(CHICAGO)[0] == queue_name(CHICAGO)


def test_a_worker_has_a_limited_number_of_tags() -> None:
    tags = {str(number): "x" for number in range(MAX_WORKER_TAGS + 1)}
    with pytest.raises(InvalidError, match="at most 6 tags, not 7"):
        served_queues(tags)


def test_the_limit_does_not_count_the_scope() -> None:
    tags = {str(number): "x" for number in range(MAX_WORKER_TAGS)}
    assert len(served_queues({**tags, **AAA})) == 2**MAX_WORKER_TAGS


@pytest.mark.parametrize(
    "tags",
    [
        {"": "x"},
        {" ": "x"},
        {"a\x00": "x"},
        {"a": "\x00"},
        {"scope": "site"},
        {"scope": "user"},
        {"scope": "user", "owner": ""},
        {"owner": "aaa"},
        {"scope": "organization", "owner": "aaa"},
    ],
    ids=repr,
)
def test_tags_that_mean_nothing_are_refused(tags: Tags) -> None:
    with pytest.raises(InvalidError):
        normalize_tags(tags)


def test_a_queue_name_is_fit_for_redis_and_metrics() -> None:
    name = queue_name({"a b:c": "\u00e9 \n"})
    assert name.startswith(f"{UNTAGGED_QUEUE}-")
    assert name.isascii()
    assert name.replace("-", "").isalnum()


def test_missing_tags_name_what_the_worker_lacks_or_has_otherwise() -> None:
    assert missing_tags(CHICAGO, NEW_YORK) == {"datacenter": "chicago"}
