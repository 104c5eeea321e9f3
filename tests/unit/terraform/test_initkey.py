"""What makes an initialized directory another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.engines.terraform.cache.initkey import init_key

Fixed = dict[str, object]


class Template:
    """A template with its CLI configuration."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "template"
        self.config = root / "terraform.rc"
        self.binary = Path("/bin/terraform")
        self.version = "1.11.4"
        self.directory.mkdir(parents=True)
        (self.directory / "main.tf").write_text("main")
        (self.directory / ".terraform.lock.hcl").write_text("lock")
        self.config.write_text("config")

    def key(self) -> str:
        return init_key(
            self.directory,
            {"TF_CLI_CONFIG_FILE": str(self.config)},
            binary=self.binary,
            version=self.version,
        )


@pytest.fixture
def template(tmp_path: Path) -> Template:
    return Template(tmp_path / "one")


def test_equal_templates_in_two_directories_have_one_key(
    template: Template, tmp_path: Path
) -> None:
    assert Template(tmp_path / "two").key() == template.key()


def _write(name: str, text: str = "other") -> Callable[[Template], object]:
    return lambda template: (template.directory / name).write_text(text)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_write("main.tf"), id="a file's content"),
        pytest.param(_write(".terraform.lock.hcl"), id="the lock file"),
        pytest.param(_write("more.tf", ""), id="another file"),
        pytest.param(
            lambda template: (template.directory / "main.tf").rename(template.directory / "m.tf"),
            id="a file's name",
        ),
        pytest.param(lambda template: template.config.write_text("other"), id="CLI configuration"),
        pytest.param(lambda template: template.config.unlink(), id="no CLI configuration"),
        pytest.param(lambda template: setattr(template, "version", "1.12.0"), id="version"),
        pytest.param(lambda template: setattr(template, "binary", Path("/bin/tofu")), id="binary"),
    ],
)
def test_whatever_an_init_depends_on_makes_another_key(
    template: Template, change: Callable[[Template], object]
) -> None:
    before = template.key()
    change(template)
    assert template.key() != before


def test_there_need_be_no_cli_configuration(template: Template) -> None:
    assert init_key(template.directory, {}, binary=template.binary, version="1.11.4")
