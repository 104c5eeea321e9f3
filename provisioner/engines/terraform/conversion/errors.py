"""Why a plan or a state has no meaning as the resources of a workspace."""

from __future__ import annotations

from provisioner.engines.port import EngineError


class ConversionError(EngineError):
    """The template breaks a rule for names or for what is attached to what.

    The message is the job's error, in the words that Coder uses.
    """

    def __init__(self, message: str) -> None:
        super().__init__(f"convert state for graph: {message}")
