"""The check of local modules when a template is pushed."""

from __future__ import annotations

import itertools

import pytest

from provisioner.host.members import ArchiveError
from provisioner.template.localmodules import check_local_modules, find_module_cycle


def check(text: str, *, file: str = "main.tf") -> None:
    check_local_modules({file: memoryview(text.encode())})


def test_a_module_in_the_folder_passes() -> None:
    check('module "net" {\n  source = "./modules/net"\n}\n')


def test_a_module_outside_of_the_folder_is_refused_with_advice() -> None:
    with pytest.raises(ArchiveError, match=r"module 'net' in main\.tf .* push with --root DIR"):
        check('module "net" {\n  count  = 2\n  source = "../shared/net"\n}\n')


def test_a_module_on_one_line_is_refused_too() -> None:
    with pytest.raises(ArchiveError, match="module 'net'"):
        check('module "net" { source = "../net" }')


def test_a_module_beside_its_caller_passes() -> None:
    check('module "net" {\n  source = "../net"\n}\n', file="modules/app/main.tf")


def test_a_path_that_leaves_the_folder_on_its_way_is_refused() -> None:
    with pytest.raises(ArchiveError, match="outside of the template's folder"):
        check('module "net" {\n  source = "./modules/../../net"\n}\n')


def test_a_module_in_json_is_refused_too() -> None:
    with pytest.raises(ArchiveError, match="module 'net'"):
        check('{"module": {"net": {"source": "../net"}}}', file="main.tf.json")


@pytest.mark.parametrize(
    "text",
    [
        '# module "net" {\n#   source = "../net"\n# }\n',
        'module "net" {\n  # source = "../net"\n  source = "./net"\n}\n',
        '/*\nmodule "net" {\n  source = "../net"\n}\n*/',
        'module "net" {\n  source = "git::https://example.com/net.git"\n}\n',
        'resource "x" "y" {\n  source = "../files/a"\n}\n',
        "{",
    ],
)
def test_what_is_no_local_module_is_not_judged(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("sources", "cycle"),
    [
        ({".": "./a", "a": "./b"}, ()),
        ({".": "./"}, (".", ".")),
        ({".": "./a", "a": "../b", "b": "../a"}, ("a", "b", "a")),
        ({".": "./a", "a": "../b", "b": "../c", "c": "../a"}, ("a", "b", "c", "a")),
    ],
)
def test_modules_that_call_each_other_are_found(
    sources: dict[str, str], cycle: tuple[str, ...]
) -> None:
    files = {
        f"{folder}/main.tf".removeprefix("./"): memoryview(
            f'module "m" {{ source = "{source}" }}'.encode()
        )
        for folder, source in sources.items()
    }
    found = find_module_cycle(files)
    assert (set(found), len(found)) == (set(cycle), len(cycle))
    for caller, called in itertools.pairwise(found):
        assert sources[caller].removeprefix("./").removeprefix("../") in {called, ""}


@pytest.mark.parametrize("text", ["{", "[]", '{"module": []}', '{"module": {"a": 1}}'])
def test_json_of_another_shape_is_left_to_terraform(text: str) -> None:
    check(text, file="main.tf.json")


def test_other_files_are_not_read() -> None:
    check('module "net" {\n  source = "../net"\n}\n', file="README.md")
