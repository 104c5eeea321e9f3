"""The secret values of a build: of its variables, parameters, state, plan and environment."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from provisioner.redaction.redaction import redaction_of

PROXIES = frozenset({"http_proxy", "https_proxy", "no_proxy"})
# Values of such variables are not secret, and hiding them would make logs unreadable.
_NO_SECRET = re.compile(
    r"(REGION|ZONE|LOCATION|PROFILE|PROJECT|ENDPOINT|HOST|HOSTNAME|PORT|PATH|DIR|FILE|ENVIRONMENT)S?$"
)
_SENSITIVE = re.compile(rb'"sensitive": *true|"sensitive_attributes": *\[\s*\[')
_MIN_DIGITS = 6  # of a number that may be a secret, such as a PIN


def leaves_of(value: object) -> Iterator[str]:
    """Yield the texts and long numbers in a value, which may be JSON in a text.

    A secret object is printed whole by one program, and a field of it by another.
    """
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
                waiting.extend(_parts_of(text))
            case bool() | None:
                pass
            case int() | float() as number:
                if len(text := json.dumps(number)) >= _MIN_DIGITS:
                    yield text
            case list() | tuple() as items:
                waiting.extend(items)
            case dict() as fields:
                waiting.extend(fields.values())


def secrets_in(values: Iterable[object]) -> frozenset[str]:
    """Return the values and their leaves."""
    return frozenset(leaf for value in values for leaf in leaves_of(value))


def with_marked(known: frozenset[str], marked: frozenset[str]) -> frozenset[str]:
    """Return the known secrets, and those that a plan or a state marks besides.

    What was made of known secrets and other text, such as a URL with a password, is left out: the
    secrets in it are removed anyway, and the rest is what a reader of an error needs.
    """
    clean = redaction_of(known).apply
    return known | {value for value in marked if clean(value) == value}


def _parts_of(text: str) -> Iterable[object]:
    if not text.lstrip().startswith(("{", "[")):
        return ()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return [found]


def secrets_of_environment(host: Mapping[str, str], passed: Iterable[str]) -> Iterator[str]:
    """Yield the secrets that a template's processes get from the worker's environment.

    Args:
        host: the worker's environment.
        passed: the names that the operator passes to templates.
    """
    for name in passed:
        if not _NO_SECRET.search(name.upper()):
            yield from leaves_of(host[name])
    for name, value in host.items():
        if name.lower() in PROXIES:
            yield from _secrets_of_url(value)


def _secrets_of_url(url: str) -> Iterator[str]:
    try:
        user, password = urlsplit(url).username, urlsplit(url).password
    except ValueError:
        return
    if password:
        plain = unquote(password)
        yield password
        yield plain
        # How a proxy gets it.
        yield base64.b64encode(f"{unquote(user or '')}:{plain}".encode()).decode()


def secrets_of_plan(plan: Mapping[str, Any]) -> frozenset[str]:
    """Return the sensitive values before and after a plan, by its masks (``show -json``)."""
    found: set[str] = set()
    changes = [resource.get("change") for resource in plan.get("resource_changes") or ()]
    changes += list((plan.get("output_changes") or {}).values())
    for change in changes:
        if isinstance(change, dict):
            for when in ("before", "after"):
                found.update(_masked(change.get(when), change.get(f"{when}_sensitive")))
    return frozenset(found)


def _masked(value: object, mask: object) -> Iterator[str]:
    """Yield the leaves of a value that its mask marks: true, or an object of masks."""
    waiting = [(value, mask)]
    while waiting:
        part, marked = waiting.pop()
        if marked is True:
            yield from leaves_of(part)
        elif isinstance(marked, dict) and isinstance(part, dict):
            waiting.extend((part.get(key), within) for key, within in marked.items())
        elif isinstance(marked, list) and isinstance(part, list):
            waiting.extend(zip(part, marked, strict=False))


def secrets_of_state(data: bytes | None) -> frozenset[str]:
    """Return the sensitive values of a state file: of its outputs, and of resources' attributes.

    Only those that a configuration marked; Terraform writes into no state what a provider marks.
    """
    if not data or not _SENSITIVE.search(data):
        return frozenset()  # most states: reading a large one takes a while
    try:
        state = json.loads(data)
    except (ValueError, RecursionError):
        return frozenset()
    found: set[str] = set()
    for output in _objects_in(state, "outputs"):
        if output.get("sensitive"):
            found.update(leaves_of(output.get("value")))
    for resource in _objects_in(state, "resources"):
        for instance in _objects_in(resource, "instances"):
            found.update(_marked_in(instance))
    return frozenset(found)


def _marked_in(instance: Mapping[str, Any]) -> Iterator[str]:
    """Yield the leaves of the attributes that an instance names as sensitive."""
    paths = instance.get("sensitive_attributes")
    for path in paths if isinstance(paths, list) else ():
        yield from leaves_of(_at(instance.get("attributes"), path))


def _objects_in(value: object, name: str) -> list[dict[str, Any]]:
    """Return the objects in a field: a template's program may have written the state."""
    items = value.get(name) if isinstance(value, dict) else None
    if isinstance(items, dict):
        items = list(items.values())
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _at(value: Any, path: object) -> object:
    if not isinstance(path, list):
        return None
    for step in path:
        key = step.get("value") if isinstance(step, dict) else None
        key = key.get("value") if isinstance(key, dict) else key
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value
