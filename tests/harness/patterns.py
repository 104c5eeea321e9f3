"""What patterns of Go mean, for each place that reads them."""

from __future__ import annotations

# A pattern, a value, and whether Go finds the pattern in it.
MEANINGS = [
    ("b", "abc", True),
    ("^b", "abc", False),
    ("^a.c$", "abc", True),
    ("^abc$", "abc\n", False),
    ("(?m)^b$", "a\nb", True),
    (".", "\n", False),
    ("(?s).", "\n", True),
    ("(?i)ABC", "abc", True),
    (r"^\d+$", "12", True),
    (r"^\d+$", "\u0663", False),
    (r"^\w+$", "a_1", True),
    (r"^\w$", "\u00e4", False),
    (r"^\s$", "\u00a0", False),
    (r"^[\d.]+$", "1.2", True),
    (r"^[^\s]+$", "ab", True),
    (r"\bb", "a b", True),
    (r"\bb", "\u00e4b", True),
    (r"^\Qa.b[\E", "a.b[c", True),
    (r"^\Qa.b\E", "axb", False),
    ("^[[]$", "[", True),
    ("^[a&&b]+$", "a&b", True),
    ("^[a~~b]$", "~", True),
    ("^[]a]+$", "]a", True),
    ("^[^]a]+$", "b", True),
    ("^[[:alpha:]]+$", "ab", True),
    ("^[[:alpha:]]+$", "a1", False),
    (r"^\pL$", "\u00e4", True),
    ("(?P<name>a)", "a", True),
    (r"a\z", "a", True),
    ("", "", True),
]
