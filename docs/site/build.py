"""Build the documentation into ``build/site``, and fail if a link or an anchor is broken.

The pages are first copied to ``build/pages``, together with those at the top of the repository. If
``make docs`` could fetch the script that draws charts (see ``package.json``), the site serves it;
otherwise it shows charts as text. So no page loads anything from another host.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOP_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
SCRIPT = Path("node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js")


def main() -> int:
    """Build the site; return the exit status of the builder."""
    stage(ROOT / "build/pages", charts=ROOT / "build/charts" / SCRIPT)
    command = (sys.executable, "-m", "zensical", "build", "--clean", "--strict")
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def stage(target: Path, charts: Path) -> None:
    """Copy all pages to ``target``, and adapt their links to the new places."""
    shutil.rmtree(target, ignore_errors=True)
    for page in (ROOT / "docs").rglob("*.md"):
        _copy(page, target / page.relative_to(ROOT / "docs"), with_charts=charts.is_file())
    for name in TOP_PAGES:
        _copy(ROOT / name, target / name, with_charts=charts.is_file())
    for asset in (ROOT / "docs/reference").glob("[!.]*.[jt]s*"):
        shutil.copy(asset, target / "reference")
    script = charts.read_bytes() if charts.is_file() else b""
    (target / "charts.js").write_bytes(script)


def _copy(page: Path, target: Path, *, with_charts: bool) -> None:
    text = page.read_text(encoding="utf-8")
    if page.parent == ROOT:
        text = text.replace("](docs/", "](")
    else:
        text = re.sub(rf"\]\(((?:\.\./)*)\.\./({'|'.join(TOP_PAGES)})", r"](\1\2", text)
    if not with_charts:
        text = text.replace("```mermaid\n", "```text\n")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
