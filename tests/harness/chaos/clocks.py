"""Wall clocks of workers that jump."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """A library that shifts the wall clock of each process into which it is preloaded."""

    library: Path

    def environment(self, worker: str) -> Mapping[str, str]:
        """The variables with which a worker has a clock of its own, which goes right at first."""
        self.set(worker, 0)
        return {"LD_PRELOAD": str(self.library), "CLOCK_OFFSET_FILE": str(self._file(worker))}

    def set(self, worker: str, seconds: int) -> None:
        """Let the worker's clock go wrong by so many seconds from now on."""
        draft = self._file(worker).with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.replace(self._file(worker))

    def _file(self, worker: str) -> Path:
        return self.library.with_name(f"clock-{worker}")


def build_clocks(folder: Path) -> Clocks | None:
    """Build the library in ``folder``; None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        return None
    return Clocks(library=library)
