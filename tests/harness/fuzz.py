"""What the fuzz tests share: how long they try, and documents with something wrong in them.

In ``make test`` each tries a few examples, always the same; in ``make fuzz`` many new ones.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))

fuzzed: Callable[[Callable[..., None]], Callable[..., None]] = settings(
    max_examples=EXAMPLES or 60,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TEXTS = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(
    ["", "\0", "\udcff", "a\nb", "${x}", "9" * 5000, "[" * 5000, "-", "..", "1e999999999"]
)
"""Texts of all kinds; hypothesis alone seldom finds those of the second kind."""

LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def damaged(draw: st.DrawFn, document: object) -> Any:
    """Return the document with up to three of its parts replaced by anything."""
    root = {"": copy.deepcopy(document)}
    for _ in range(draw(st.integers(1, 3))):
        parent, key = draw(st.sampled_from(_places(root)))
        parent[key] = draw(DOCUMENTS)
    return root[""]


def _places(parent: Any) -> list[tuple[Any, Any]]:
    """Return every part of a document as its parent and its key in it."""
    pairs = parent.items() if isinstance(parent, dict) else enumerate(parent)
    return [
        place
        for key, value in pairs
        for place in [
            (parent, key),
            *(_places(value) if isinstance(value, dict | list) else ()),
        ]
    ]
