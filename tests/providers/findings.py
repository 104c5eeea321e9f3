"""What a provider finds wrong with a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field


class Refusal(Exception):  # noqa: N818 - an answer to the user, not a fault
    """A configuration or an input that cannot be accepted."""

    def __init__(self, summary: str, detail: str = "") -> None:
        super().__init__(f"{summary}: {detail}" if detail else summary)
        self.summary = summary
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One error or warning."""

    summary: str
    detail: str = ""
    path: str = ""
    is_warning: bool = False


@dataclass
class Findings:
    """The errors and warnings about one data source or resource, in order."""

    found: list[Finding] = field(default_factory=list)

    def error(self, summary: str, detail: str = "", *, path: str = "") -> None:
        """Add an error."""
        self.found.append(Finding(summary=summary, detail=detail, path=path))

    def warn(self, summary: str, detail: str = "", *, path: str = "") -> None:
        """Add a warning."""
        self.found.append(Finding(summary=summary, detail=detail, path=path, is_warning=True))

    def refuse(self, refusal: Refusal) -> None:
        """Add a refusal as an error."""
        self.error(refusal.summary, refusal.detail)

    @property
    def summaries(self) -> list[str]:
        """The first lines of what was found."""
        return [finding.summary for finding in self.found]
