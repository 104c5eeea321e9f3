"""The form types of parameters: how a value is asked for."""

from __future__ import annotations

from tests.providers.checks import quoted
from tests.providers.findings import Refusal

FORM_TYPES = (
    "radio",
    "slider",
    "input",
    "dropdown",
    "checkbox",
    "switch",
    "multi-select",
    "tag-select",
    "textarea",
    "error",
)
MULTI_SELECT = "multi-select"

# With options and without; the first is the default.
_ALLOWED = {
    "string": (("radio", "dropdown"), ("input", "textarea")),
    "number": (("radio", "dropdown"), ("input", "slider")),
    "bool": (("radio", "dropdown"), ("checkbox", "switch")),
    "list(string)": (("radio", MULTI_SELECT), ("tag-select",)),
}


def form_type(kind: str, given: str, *, has_options: bool) -> str:
    """Return the form type of a parameter: the given one, or the default.

    Raises:
        Refusal: the given one does not fit the parameter.
    """
    with_options, without = _ALLOWED[kind]
    allowed, others = (with_options, without) if has_options else (without, with_options)
    if not given:
        return allowed[0]
    if given in allowed:
        return given
    when = ""
    if given in others:
        when = " when options exist" if has_options else " when options do not exist"
    raise Refusal(
        "Invalid form_type for parameter",
        f'"form_type" attribute={quoted(given)} is not supported for "type"={quoted(kind)}{when},'
        f" choose one of [{' '.join(allowed)}]",
    )
