from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioner.host.archive import (
    DEFAULT_LIMITS,
    ArchiveLimits,
    check_upload_size,
    unpack_template,
)
from provisioner.host.members import ArchiveError
from provisioner.host.packing import Packed, pack_folder, pack_template, take_tar

BLOCK = 512


def member(
    name: str,
    content: bytes = b"x",
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    link: str = "",
    form: Literal[0, 1, 2] = tarfile.GNU_FORMAT,
    pax: dict[str, str] | None = None,
) -> bytes:
    """One tar member as raw blocks, however hostile."""
    header = tarfile.TarInfo(name)
    header.type, header.mode, header.linkname = kind, mode, link
    header.pax_headers = pax or {}
    header.size = len(content)
    padding = b"\0" * (-len(content) % BLOCK)
    return header.tobuf(form, "utf-8", "surrogateescape") + content + padding


def folder(name: str) -> bytes:
    return member(name, b"", kind=tarfile.DIRTYPE, mode=0o755)


def tar(*members: bytes) -> bytes:
    return b"".join(members) + b"\0" * (2 * BLOCK)


def with_header_bytes(raw: bytes, start: int, content: bytes) -> bytes:
    """Replace bytes of the first header and mend its checksum."""
    head = bytearray(raw[:BLOCK])
    head[start : start + len(content)] = content
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + raw[BLOCK:]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    directory = tmp_path / "template"
    directory.mkdir()
    (directory / "main.tf").write_text("# nothing")
    return directory


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def test_a_packed_template_unpacks_to_the_same_files(template: Path, target: Path) -> None:
    (template / "scripts" / "deep").mkdir(parents=True)
    (template / "scripts" / "deep" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (template / "größe.txt").write_bytes(b"")
    (template / ("long" * 30 + ".txt")).write_bytes(b"long name")
    unpack_template(pack_template(template), target)
    assert contents(target) == contents(template)


def test_the_same_files_give_the_same_bytes(template: Path) -> None:
    (template / "b.tf").write_text("")
    first = pack_template(template)
    for file in template.iterdir():
        os.utime(file, (1, 1))
    assert pack_template(template) == first


def test_only_the_template_itself_is_packed(template: Path, target: Path) -> None:
    for name in [
        ".env",
        "terraform.tfstate",
        "terraform.tfstate.backup",
        "old.tfstate",
        "terraform.tfvars",
        "terraform.tfvars.json",
        "my.auto.tfvars",
        "my.auto.tfvars.json",
        ".terraform.lock.hcl",
        "other.tfvars",
    ]:
        (template / name).write_text("x")
    (template / ".terraform").mkdir()
    (template / ".terraform" / "plugin").write_text("x")
    unpack_template(pack_template(template), target)
    assert sorted(contents(target)) == [".terraform.lock.hcl", "main.tf", "other.tfvars"]


def test_a_json_template_can_be_packed(tmp_path: Path) -> None:
    (tmp_path / "main.tf.json").write_text("{}")
    assert pack_template(tmp_path)


def test_what_is_not_a_directory_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="is not a directory"):
        pack_template(tmp_path / "missing")


def test_a_folder_without_terraform_files_in_its_root_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "main.tf").write_text("")
    with pytest.raises(ArchiveError, match=r"has no \.tf, \.tf\.json or \.tofu file"):
        pack_template(tmp_path)


def test_a_link_out_of_the_folder_is_refused_with_advice(template: Path) -> None:
    (template / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(ArchiveError, match=r"passwd is a link to /etc/passwd.*--root DIR follows"):
        pack_template(template)


def test_a_link_inside_of_the_folder_is_followed(template: Path, target: Path) -> None:
    (template / "other.tf").symlink_to("main.tf")
    unpack_template(pack_template(template), target)
    assert contents(target) == {"main.tf": b"# nothing", "other.tf": b"# nothing"}
    assert not (target / "other.tf").is_symlink()


def test_a_link_inside_of_the_stated_root_is_followed(template: Path, target: Path) -> None:
    shared = template.parent / "shared" / "net"
    shared.mkdir(parents=True)
    (shared / "main.tf").write_text("# net")
    (template / "modules").symlink_to("../shared")
    unpack_template(pack_folder(template, root=template.parent).archive, target)
    assert contents(target) == {"main.tf": b"# nothing", "modules/net/main.tf": b"# net"}


def test_a_link_out_of_the_stated_root_is_refused(template: Path) -> None:
    (template / "etc").symlink_to("/etc")
    with pytest.raises(ArchiveError, match="etc is a link to /etc, outside of"):
        pack_folder(template, root=template.parent)


@pytest.mark.parametrize("target", ["missing", "loop"])
def test_a_link_that_leads_nowhere_is_refused(template: Path, target: str) -> None:
    (template / "loop").symlink_to(target)
    with pytest.raises(ArchiveError, match="loop is a link that leads nowhere"):
        pack_template(template)


def test_a_link_to_a_folder_that_it_is_in_is_refused(template: Path) -> None:
    (template / "modules").mkdir()
    (template / "modules" / "all").symlink_to("..")
    with pytest.raises(ArchiveError, match="all is a link that leads in a circle"):
        pack_template(template)


def test_links_cannot_multiply_a_folder_beyond_the_limit(template: Path) -> None:
    lowest = template / "a0"
    lowest.mkdir()
    for level in range(1, 12):
        folder = template / f"a{level}"
        folder.mkdir()
        for name in "xyz":
            (folder / name).symlink_to(f"../a{level - 1}")
    limits = replace(DEFAULT_LIMITS, max_entries=1000)
    with pytest.raises(ArchiveError, match="more than 1000 files and folders"):
        pack_template(template, limits=limits)


def test_a_folder_of_many_levels_is_refused(template: Path) -> None:
    deepest = template
    for _ in range(18):
        deepest /= "d"
    deepest.mkdir(parents=True)
    with pytest.raises(ArchiveError, match="is deeper than 16 levels"):
        pack_template(template)


def test_a_file_that_cannot_be_read_is_named(template: Path) -> None:
    """Also for root, whom no file mode stops: the memory of this process begins with a gap."""
    (template / "mem").symlink_to("/proc/self/mem")
    with pytest.raises(ArchiveError, match=r"mem cannot be read: Input/output error"):
        pack_folder(template, root=Path("/proc"))


def test_what_is_left_out_is_named(template: Path) -> None:
    (template / ".env").write_text("SECRET=1")
    (template / ".git").mkdir()
    (template / "modules").mkdir()
    (template / "modules" / "x.auto.tfvars").write_text("")
    (template / "empty").mkdir()
    packed = pack_folder(template)
    assert packed.left_out == (".env", ".git/", "empty/", "modules/x.auto.tfvars")


@pytest.mark.parametrize("name", ["main.tofu", "main.tofu.json"])
def test_a_template_of_opentofu_can_be_packed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    assert pack_template(tmp_path)


def test_a_tar_is_taken_as_it_is() -> None:
    archive = tar(member("./main.tf"), member("./terraform.tfvars"))
    assert take_tar(io.BytesIO(archive)) == Packed(archive=archive)


def test_a_tar_with_a_link_is_refused() -> None:
    linked = member("a", b"", kind=tarfile.SYMTYPE, link="/etc/passwd")
    with pytest.raises(ArchiveError, match="'a' in the template archive is a link"):
        take_tar(io.BytesIO(tar(member("main.tf"), linked)))


def test_a_tar_of_the_folder_itself_is_refused_with_advice() -> None:
    with pytest.raises(ArchiveError, match=r"no \.tf.* file in its root; make it in the template"):
        take_tar(io.BytesIO(tar(member("dev/main.tf"))))


def test_no_more_of_a_tar_is_read_than_the_limit() -> None:
    stream = io.BytesIO(b"x" * 1000)
    with pytest.raises(ArchiveError, match="Archive too big"):
        take_tar(stream, limits=ArchiveLimits(max_upload_bytes=10))
    assert stream.tell() == 11


def test_a_pipe_in_the_folder_is_refused_and_not_read(template: Path) -> None:
    os.mkfifo(template / "pipe")
    with pytest.raises(ArchiveError, match=r"pipe is a special file"):
        pack_template(template)


def test_a_template_above_the_upload_limit_is_refused_before_it_is_read(template: Path) -> None:
    with (template / "disk.img").open("wb") as image:
        image.truncate(1 << 40)
    with pytest.raises(ArchiveError, match=r"^Archive too big. Must be <= 1048576 bytes$"):
        pack_template(template)


def test_the_upload_limit_counts_the_packed_bytes(template: Path) -> None:
    size = len(pack_template(template))
    with pytest.raises(ArchiveError, match="Archive too big"):
        pack_template(template, limits=ArchiveLimits(max_upload_bytes=size - 1))


def test_an_upload_of_exactly_the_limit_passes() -> None:
    check_upload_size(10, limits=ArchiveLimits(max_upload_bytes=10))


def test_a_folder_that_could_not_be_unpacked_is_not_packed(template: Path) -> None:
    (template / "Main.tf").write_text("")
    with pytest.raises(ArchiveError, match="differ only in case"):
        pack_template(template)


def test_unpacked_files_are_private_and_keep_only_the_execute_bit(target: Path) -> None:
    unpack_template(
        tar(member("main.tf", mode=0o777 | stat.S_ISUID), member("d/plain", mode=0o666)), target
    )
    modes = {name: stat.S_IMODE((target / name).stat().st_mode) for name in ["main.tf", "d/plain"]}
    assert modes == {"main.tf": 0o700, "d/plain": 0o600}


def test_unpacked_folders_are_private(target: Path) -> None:
    unpack_template(tar(folder("d/"), member("d/main.tf")), target)
    assert stat.S_IMODE((target / "d").stat().st_mode) == 0o700


def test_the_archive_of_a_whole_folder_with_dots_in_front_is_accepted(target: Path) -> None:
    unpack_template(tar(folder("./"), member("./main.tf"), folder("./d/")), target)
    assert contents(target) == {"main.tf": b"x"}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_each_tar_format_is_read(form: Literal[0, 1, 2], target: Path) -> None:
    name = "/".join(["folder-with-a-name"] * 6) + "/main.tf"
    unpack_template(tar(member(name, form=form)), target)
    assert contents(target) == {name: b"x"}


def test_a_global_comment_as_of_git_archive_is_accepted(target: Path) -> None:
    comment = member("pax_global_header", b"52 comment=" + b"a" * 40 + b"\n", kind=tarfile.XGLTYPE)
    unpack_template(tar(comment, member("main.tf")), target)
    assert contents(target) == {"main.tf": b"x"}


def test_a_folder_may_be_listed_after_its_files(target: Path) -> None:
    unpack_template(tar(member("d/main.tf"), folder("d")), target)
    assert contents(target) == {"d/main.tf": b"x"}


def pax(record: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    length = next(n for n in range(999) if n == len(b"%d %s\n" % (n, record)))
    return member("pax", b"%d %s\n" % (length, record), kind=kind)


def test_a_name_in_an_extension_header_is_used(target: Path) -> None:
    unpack_template(tar(pax(b"path=renamed.tf"), member("main.tf")), target)
    assert contents(target) == {"renamed.tf": b"x"}


HOSTILE = {
    "absolute": tar(member("/etc/passwd")),
    "parent": tar(member("../outside")),
    "hidden parent": tar(member("d/../../outside")),
    "parent folder": tar(folder("../d")),
    "dot inside": tar(member("d/./main.tf")),
    "empty component": tar(member("d//main.tf")),
    "empty name": tar(member("")),
    "name is a slash": tar(folder("/")),
    "file named dot": tar(member(".")),
    "file named dot dot": tar(member("..")),
    "backslash": tar(member("..\\outside")),
    "line break": tar(member("main.tf\nFAKE")),
    "escape sequence": tar(member("\x1b[31mmain.tf")),
    "bidi override": tar(member("ft\u202eniam.tf")),
    "NUL in a pax name": tar(pax(b"path=a\0b"), member("main.tf")),
    "NUL in a GNU name": tar(member("l", b"a\0b\0", kind=b"L"), member("main.tf")),
    "parent in a pax name": tar(pax(b"path=../outside"), member("main.tf")),
    "parent in a GNU name": tar(member("l", b"../outside\0", kind=b"L"), member("main.tf")),
    "name not UTF-8": tar(member("\udcff.tf")),
    "pax name not UTF-8": tar(pax(b"path=\xff.tf"), member("main.tf")),
    "symbolic link": tar(member("l", b"", kind=tarfile.SYMTYPE, link="/etc")),
    "hard link": tar(member("l", b"", kind=tarfile.LNKTYPE, link="main.tf")),
    "character device": tar(member("l", b"", kind=tarfile.CHRTYPE)),
    "block device": tar(member("l", b"", kind=tarfile.BLKTYPE)),
    "pipe": tar(member("l", b"", kind=tarfile.FIFOTYPE)),
    "contiguous file": tar(member("l", kind=tarfile.CONTTYPE)),
    "old sparse file": tar(member("l", kind=tarfile.GNUTYPE_SPARSE)),
    "unknown type": tar(member("l", kind=b"Z")),
    "long link name": tar(member("l", b"x\0", kind=b"K"), member("main.tf")),
    "pax sparse file": tar(pax(b"GNU.sparse.major=1"), member("main.tf")),
    "pax size": tar(pax(b"size=999999"), member("main.tf")),
    "global pax name": tar(pax(b"path=x.tf", tarfile.XGLTYPE), member("main.tf")),
    "folder with content": tar(member("d", kind=tarfile.DIRTYPE)),
    "same file twice": tar(member("main.tf"), member("main.tf")),
    "same file by two names": tar(member("main.tf"), member("./main.tf")),
    "same folder twice": tar(folder("d"), folder("d"), member("main.tf")),
    "case collision": tar(member("main.tf"), member("MAIN.tf")),
    "case collision of folders": tar(member("d/a.tf"), member("D/b.tf")),
    "unicode collision": tar(member("\u00e9.tf"), member("e\u0301.tf")),
    "file then folder": tar(member("d"), member("d/main.tf")),
    "folder then file": tar(member("d/main.tf"), member("d")),
    "planted plugins": tar(member(".terraform/providers/x")),
    "planted plugins of a module": tar(member("m/.Terraform/providers/x")),
    "planted settings": tar(member(".terraformrc")),
    "planted credentials": tar(member(".terraform.d/credentials.tfrc.json")),
    "planted mirror": tar(member("terraform.d/plugins/example.com/demo/cloud/x.zip")),
    "planted mirror in other letters": tar(member("Terraform.D/plugins/x.zip")),
    "planted settings of Windows": tar(member("terraform.rc")),
    "planted settings of another name": tar(member("m/own.tfrc")),
    "planted state": tar(member("terraform.tfstate")),
    "planted state backup": tar(member("terraform.tfstate.backup")),
    "planted rescue state": tar(member("errored.tfstate")),
    "path too long": tar(member("d" * 200 + "/" + "f" * 60)),
    "too deep": tar(member("d/" * 16 + "main.tf")),
    "no files": tar(),
    "only folders": tar(folder("d")),
    "nothing": b"",
    "text": b"resource" * 200,
    "gzip": gzip.compress(tar(member("main.tf"))),
    "zip": b"PK\x03\x04" + b"x" * 2000,
    "no end": member("main.tf"),
    "one end block": member("main.tf") + b"\0" * BLOCK,
    "data cut off": tar(member("main.tf", b"x" * 5000))[:2000],
    "header cut off": member("main.tf") + member("b.tf")[:100],
    "damaged second header": tar(member("main.tf"), b"\x01" * BLOCK),
    "name without a file": tar(member("l", b"a.tf\0", kind=b"L")),
    "data behind the end": tar(member("main.tf")) + b"evil",
    "archive behind the end": tar(member("main.tf")) + tar(member("b.tf")),
    "negative size": tar(with_header_bytes(member("main.tf"), 124, b"\xff" * 12)),
    "huge size": tar(with_header_bytes(member("main.tf"), 124, b"\x80" + b"\x7f" * 11)),
    "wrong checksum": tar(b"n" + member("main.tf")[1:]),
    "damaged pax header": tar(member("p", b"zz path=x\n", kind=b"x"), member("main.tf")),
    "pax record too long": tar(member("p", b"99 path=x\n", kind=b"x"), member("main.tf")),
    "pax record of length 0": tar(member("p", b"0 path=x\n", kind=b"x"), member("main.tf")),
    "pax length with many digits": tar(member("p", b"9" * 9000 + b" a=b\n", kind=b"x")),
}


@pytest.mark.parametrize("archive", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_and_writes_nothing(archive: bytes, target: Path) -> None:
    with pytest.raises(ArchiveError):
        unpack_template(archive, target)
    assert not target.exists()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        pytest.param({"max_entries": 3}, "more than 3 entries", id="entries"),
        pytest.param({"max_total_bytes": 19}, "larger than 19 bytes", id="total"),
        pytest.param({"max_file_bytes": 9}, "'d/a.tf' .* larger than 9 bytes", id="file"),
        pytest.param({"max_depth": 1}, "deeper than 1 levels", id="depth"),
        pytest.param({"max_path_bytes": 5}, "longer than 5 bytes", id="path"),
    ],
)
def test_an_archive_over_a_limit_is_refused_and_not_cut(
    limits: dict[str, int], message: str, target: Path
) -> None:
    archive = tar(member("d/a.tf", b"x" * 10), member("e/b.tf", b"x" * 10))
    with pytest.raises(ArchiveError, match=message):
        unpack_template(archive, target, limits=replace(DEFAULT_LIMITS, **limits))
    assert not target.exists()


def test_an_archive_of_exactly_the_limits_is_unpacked(target: Path) -> None:
    limits = ArchiveLimits(
        max_entries=4, max_total_bytes=20, max_file_bytes=10, max_depth=2, max_path_bytes=6
    )
    unpack_template(
        tar(member("d/a.tf", b"x" * 10), member("e/b.tf", b"x" * 10)), target, limits=limits
    )
    assert contents(target) == {"d/a.tf": b"x" * 10, "e/b.tf": b"x" * 10}


def test_a_file_that_exists_is_never_replaced(target: Path) -> None:
    target.mkdir()
    (target / "main.tf").write_bytes(b"mine")
    with pytest.raises(ArchiveError, match="exists already"):
        unpack_template(tar(member("main.tf")), target)
    assert (target / "main.tf").read_bytes() == b"mine"


def test_a_link_that_exists_in_place_of_a_folder_is_not_followed(
    target: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target.mkdir()
    (target / "d").symlink_to(outside)
    with pytest.raises(ArchiveError, match="exists already"):
        unpack_template(tar(member("d/main.tf")), target)
    assert contents(outside) == {}


def test_a_link_that_exists_in_place_of_a_file_is_not_followed(
    target: Path, tmp_path: Path
) -> None:
    target.mkdir()
    (target / "main.tf").symlink_to(tmp_path / "outside")
    with pytest.raises(ArchiveError, match="exists already"):
        unpack_template(tar(member("main.tf")), target)
    assert not (tmp_path / "outside").exists()


@settings(max_examples=150)
@given(
    files=st.dictionaries(
        st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4).map(
            lambda parts: "/".join(f"{part}{depth}" for depth, part in enumerate(parts)) + ".txt"
        ),
        st.binary(max_size=2000),
        max_size=8,
    )
)
def test_any_files_survive_packing_and_unpacking(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as root:
        source, target = Path(root, "source"), Path(root, "target")
        for name, content in {"main.tf": b"", **files}.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
        unpack_template(pack_template(source), target)
        assert contents(target) == {"main.tf": b"", **files}


NASTY_PARTS = st.sampled_from(
    ["..", ".", "", "a", "A", "b.tf", "/", "\\", "\0", "\udc80", "é", "c" * 120, "~", "a "]
)


@settings(max_examples=300)
@given(
    names=st.lists(
        st.tuples(
            st.lists(NASTY_PARTS, max_size=5).map("/".join),
            st.sampled_from([b"0", b"5", b"2", b"1", b"L", b"x", b"g", b"7", b"\0"]),
            st.sampled_from([b"", b"x", b"../up\0", b"16 path=../../u\n"]),
        ),
        max_size=6,
    )
)
def test_no_name_is_ever_written_outside_of_the_target(
    names: list[tuple[str, bytes, bytes]],
) -> None:
    archive = tar(*(member(name, content, kind=kind) for name, kind, content in names))
    with tempfile.TemporaryDirectory() as root:
        target = Path(root, "one", "two")
        try:
            unpack_template(archive, target)
        except ArchiveError:
            assert not target.exists()
        outside = [path for path in Path(root).rglob("*") if target not in path.parents]
        assert [path for path in outside if path not in {target, target.parent}] == []


@settings(max_examples=300)
@given(
    position=st.integers(min_value=0, max_value=3 * BLOCK - 1),
    byte=st.integers(min_value=0, max_value=255),
)
def test_a_damaged_archive_is_refused_or_read_but_never_crashes(position: int, byte: int) -> None:
    good = bytearray(tar(member("d/main.tf", b"x" * 20), folder("e")))
    good[position] = byte
    with tempfile.TemporaryDirectory() as root:
        with contextlib.suppress(ArchiveError):
            unpack_template(bytes(good), Path(root, "t"))
        assert {path.name for path in Path(root).iterdir()} <= {"t"}


def test_the_archive_is_readable_by_any_tar(template: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(pack_template(template)), mode="r:") as archive:
        assert [(m.name, m.mtime, m.uid, m.mode) for m in archive] == [("main.tf", 0, 0, 0o644)]


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
