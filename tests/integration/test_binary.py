from __future__ import annotations

import hashlib
import io
import os
import platform
import ssl
import stat
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pysequoia import Cert, SignatureMode, Tsk, sign

from provisioner.engines.port import TERRAFORM_VERSION
from provisioner.engines.terraform.binary import TerraformNotFoundError, find_terraform
from provisioner.engines.terraform.release.release import Trust
from tests.harness.threads import serving
from tests.harness.tls import make_certificate

VERSION = "1.11.4"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
ARCHIVE = f"/tf/{VERSION}/terraform_{VERSION}_{platform.system().lower()}_{MACHINE}.zip"
SUMS = f"/tf/{VERSION}/terraform_{VERSION}_SHA256SUMS"
SIGNATURE = f"{SUMS}.sig"
PROGRAM = b"#!/bin/sh\necho Terraform\n"


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@dataclass
class ReleaseServer:
    """A release server on loopback that says what each test wants."""

    url: str
    signer: Tsk
    files: dict[str, bytes] = field(default_factory=dict)
    promised_bytes: dict[str, int] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def publish(self, archive: bytes, *, digest: str | None = None) -> None:
        digest = digest or hashlib.sha256(archive).hexdigest()
        name = ARCHIVE.rpartition("/")[2]
        self.files[ARCHIVE] = archive
        self.sign(f"{'0' * 64}  terraform_other.zip\n{digest}  {name}\n".encode())

    def sign(self, sums: bytes) -> None:
        self.files[SUMS] = sums
        self.files[SIGNATURE] = signed(sums, self.signer)


def signed(data: bytes, signer: Tsk) -> bytes:
    return sign(signer.signer(), data, mode=SignatureMode.DETACHED)


@pytest.fixture(scope="module")
def signer() -> Tsk:
    return Tsk.generate("Releases <releases@example.com>")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server(
    monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path], signer: Tsk
) -> Iterator[ReleaseServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            releases.requests.append(path)
            if path in releases.redirects:
                self.send_response(302)
                self.send_header("Location", releases.redirects[path])
                self.end_headers()
                return
            if path not in releases.files:
                self.send_error(404)
                return
            content = releases.files[path]
            self.send_response(200)
            length = releases.promised_bytes.get(path, len(content))
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Keep the test's output clean."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    # The handshake is the handler's first read: the thread that accepts waits for no client.
    listener.socket = context.wrap_socket(
        listener.socket, server_side=True, do_handshake_on_connect=False
    )
    with serving(listener) as url:
        releases = ReleaseServer(url=f"{url.replace('http:', 'https:')}/tf", signer=signer)
        yield releases


@pytest.fixture
def find(tmp_path: Path, server: ReleaseServer) -> Callable[..., Path]:
    def call(**changes: object) -> Path:
        arguments: dict[str, object] = {
            "setting": None,
            "path": "",
            "data_dir": tmp_path / "data",
            "release_url": server.url,
            "pinned_version": VERSION,
            "trust": Trust(key=bytes(server.signer.extract_certificate()), sums={}),
            **changes,
        }
        return find_terraform(**arguments)  # type: ignore[arg-type]

    return call


def program(directory: Path, name: str, *, mode: int = 0o755) -> Path:
    directory.mkdir(exist_ok=True)
    file = directory / name
    file.write_bytes(PROGRAM)
    file.chmod(mode)
    return file


def test_the_setting_goes_before_the_path(find: Callable[..., Path], tmp_path: Path) -> None:
    program(tmp_path / "bin", "terraform")
    chosen = program(tmp_path / "own", "terraform-1.9")
    assert find(setting=str(chosen), path=str(tmp_path / "bin")) == chosen


def test_the_setting_may_be_a_name_on_the_path(find: Callable[..., Path], tmp_path: Path) -> None:
    chosen = program(tmp_path / "bin", "tofu")
    assert find(setting="tofu", path=str(tmp_path / "bin")) == chosen


def test_a_relative_setting_is_made_absolute(
    find: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = program(tmp_path / "own", "terraform")
    monkeypatch.chdir(tmp_path)
    assert find(setting="own/terraform") == chosen


@pytest.mark.parametrize("mode", [0o644, None], ids=["not executable", "missing"])
def test_a_wrong_setting_is_an_error_and_nothing_else_is_tried(
    mode: int | None, find: Callable[..., Path], tmp_path: Path, server: ReleaseServer
) -> None:
    program(tmp_path / "bin", "terraform")
    if mode is not None:
        program(tmp_path / "own", "terraform", mode=mode)
    with pytest.raises(TerraformNotFoundError, match="PROVISIONERD_TERRAFORM_BINARY"):
        find(setting=str(tmp_path / "own" / "terraform"), path=str(tmp_path / "bin"))
    assert server.requests == []


def test_terraform_on_the_path_goes_before_tofu(find: Callable[..., Path], tmp_path: Path) -> None:
    program(tmp_path / "a", "tofu")
    found = program(tmp_path / "b", "terraform")
    assert find(path=f"{tmp_path}/a:{tmp_path}/b") == found


def test_tofu_is_taken_where_there_is_no_terraform(
    find: Callable[..., Path], tmp_path: Path
) -> None:
    found = program(tmp_path / "bin", "tofu")
    assert find(path=str(tmp_path / "bin")) == found


def test_a_release_is_fetched_and_can_be_run_by_all(
    find: Callable[..., Path], server: ReleaseServer
) -> None:
    server.publish(zipped(terraform=PROGRAM))
    binary = find()
    assert binary.read_bytes() == PROGRAM
    assert stat.S_IMODE(binary.stat().st_mode) == 0o755


def test_only_the_binary_is_kept_of_a_release(
    find: Callable[..., Path], server: ReleaseServer
) -> None:
    server.publish(zipped(**{"LICENSE.txt": b"", "../evil": b"", "terraform": PROGRAM}))
    folder = find().parent
    kept = {"terraform", "archive.zip", "SHA256SUMS", "SHA256SUMS.sig", "lock"}
    assert {path.name for path in folder.iterdir()} == kept
    assert {path.name for path in folder.parent.iterdir()} == {VERSION}


def test_a_fetched_copy_is_used_without_the_network(
    find: Callable[..., Path], server: ReleaseServer
) -> None:
    server.publish(zipped(terraform=PROGRAM))
    first = find()
    asked = len(server.requests)
    assert (find(), len(server.requests)) == (first, asked)


def test_the_fetched_copy_is_that_of_the_pinned_version(
    find: Callable[..., Path], server: ReleaseServer
) -> None:
    server.publish(zipped(terraform=PROGRAM))
    find()
    with pytest.raises(TerraformNotFoundError, match="404"):
        find(pinned_version="1.12.0")


def test_the_progress_ends_with_the_whole_size(
    find: Callable[..., Path], server: ReleaseServer
) -> None:
    archive = zipped(terraform=os.urandom(600_000))
    server.publish(archive)
    told: list[tuple[int, int | None]] = []
    find(progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(archive), len(archive))
    assert len(told) > 1


def test_workers_that_start_together_fetch_once(
    find: Callable[..., Path], server: ReleaseServer
) -> None:
    server.publish(zipped(terraform=PROGRAM))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: find(), range(8)))
    assert len(set(found)) == 1
    assert server.requests.count(ARCHIVE) == 1


def test_a_pinned_sum_that_fits_is_accepted_in_either_case(
    find: Callable[..., Path], server: ReleaseServer
) -> None:
    archive = zipped(terraform=PROGRAM)
    server.publish(archive)
    assert find(pinned_sha256=hashlib.sha256(archive).hexdigest().upper()).exists()


GOOD = zipped(terraform=PROGRAM)


def wrong_sum(server: ReleaseServer) -> None:
    server.publish(GOOD, digest="1" * 64)


def no_sum(server: ReleaseServer) -> None:
    server.files[ARCHIVE] = GOOD
    server.sign(b"nothing of use\n")


def no_sums(server: ReleaseServer) -> None:
    server.files[ARCHIVE] = GOOD


def no_signature(server: ReleaseServer) -> None:
    server.publish(GOOD)
    del server.files[SIGNATURE]


def no_signature_at_all(server: ReleaseServer) -> None:
    server.publish(GOOD)
    server.files[SIGNATURE] = b"<html>"


def signed_by_another(server: ReleaseServer) -> None:
    server.publish(GOOD)
    other = Tsk.generate("Releases <releases@example.com>")
    server.files[SIGNATURE] = signed(server.files[SUMS], other)


def sums_of_another_release(server: ReleaseServer) -> None:
    server.publish(GOOD)
    server.files[SUMS] += b"\n"


def redirected_to_http(server: ReleaseServer) -> None:
    server.publish(GOOD)
    server.redirects[ARCHIVE] = server.url.replace("https:", "http:") + "/archive.zip"


def redirected_to_a_file(server: ReleaseServer) -> None:
    server.publish(GOOD)
    server.redirects[SUMS] = "file:///etc/passwd"


def no_archive(server: ReleaseServer) -> None:
    server.publish(GOOD)
    del server.files[ARCHIVE]


def cut_off(server: ReleaseServer) -> None:
    server.publish(GOOD)
    server.promised_bytes[ARCHIVE] = len(GOOD) + 10


def not_a_zip(server: ReleaseServer) -> None:
    server.publish(b"<html>")


def no_binary(server: ReleaseServer) -> None:
    server.publish(zipped(other=b""))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param(wrong_sum, "the published one is 1{64}", id="wrong sum"),
        pytest.param(no_sum, "no sum for terraform_", id="no sum for this platform"),
        pytest.param(no_sums, "404", id="no sums"),
        pytest.param(no_signature, "404", id="no signature"),
        pytest.param(no_signature_at_all, "no valid signature", id="not a signature"),
        pytest.param(signed_by_another, "no valid signature", id="signed by another key"),
        pytest.param(sums_of_another_release, "no valid signature", id="other sums signed"),
        pytest.param(redirected_to_http, "redirected to a URL that is not https", id="http"),
        pytest.param(redirected_to_a_file, "HTTP Error 302|not https", id="a file"),
        pytest.param(no_archive, "404", id="no archive"),
        pytest.param(cut_off, f"cut off after {len(GOOD)} of {len(GOOD) + 10}", id="cut off"),
        pytest.param(not_a_zip, "not a zip archive with terraform", id="not a zip"),
        pytest.param(no_binary, "not a zip archive with terraform", id="no binary inside"),
    ],
)
def test_a_bad_release_is_refused_and_leaves_nothing(
    fault: Callable[[ReleaseServer], None],
    message: str,
    find: Callable[..., Path],
    server: ReleaseServer,
    tmp_path: Path,
) -> None:
    fault(server)
    with pytest.raises(TerraformNotFoundError, match=message):
        find()
    left = [path.name for path in (tmp_path / "data" / "terraform" / VERSION).iterdir()]
    assert left == ["lock"]


def test_a_release_without_the_pinned_sum_is_refused(
    find: Callable[..., Path], server: ReleaseServer
) -> None:
    server.publish(GOOD)
    with pytest.raises(TerraformNotFoundError, match=r"the pinned one is 2{64}"):
        find(pinned_sha256="2" * 64)


def test_a_release_without_the_built_in_sum_is_refused(
    find: Callable[..., Path], server: ReleaseServer
) -> None:
    """Also if it is signed: a server cannot offer another release in its place."""
    server.publish(GOOD)
    name = ARCHIVE.rpartition("/")[2]
    trust = Trust(key=bytes(server.signer.extract_certificate()), sums={name: "3" * 64})
    with pytest.raises(TerraformNotFoundError, match=r"the built-in one is 3{64}"):
        find(trust=trust)


@pytest.mark.parametrize("platform_name", ["linux_amd64", "linux_arm64", "darwin_arm64"])
def test_the_sums_of_the_default_version_are_built_in(platform_name: str) -> None:
    assert len(Trust().sums[f"terraform_{TERRAFORM_VERSION}_{platform_name}.zip"]) == 64


def test_the_key_is_that_of_hashicorp() -> None:
    """As published at https://www.hashicorp.com/security."""
    fingerprint = Cert.from_bytes(Trust().key).fingerprint
    assert fingerprint == "c874011f0ab405110d02105534365d9472d7468f"


@pytest.mark.parametrize("name", ["terraform", "archive.zip", "SHA256SUMS"])
def test_a_copy_that_was_changed_is_fetched_again(
    name: str, find: Callable[..., Path], server: ReleaseServer
) -> None:
    server.publish(GOOD)
    binary = find()
    with (binary.parent / name).open("ab") as file:
        file.write(b"#")
    assert find().read_bytes() == PROGRAM
    assert server.requests.count(ARCHIVE) == 2


def test_a_copy_that_was_changed_is_not_used_without_the_network(
    find: Callable[..., Path], server: ReleaseServer
) -> None:
    server.publish(GOOD)
    find().write_bytes(b"#!/bin/sh\necho evil\n")
    with pytest.raises(TerraformNotFoundError, match="no verified copy"):
        find(release_url="https://127.0.0.1:1/tf")


def test_a_failed_download_can_be_repeated(
    find: Callable[..., Path], server: ReleaseServer
) -> None:
    cut_off(server)
    with pytest.raises(TerraformNotFoundError):
        find()
    server.promised_bytes.clear()
    assert find().read_bytes() == PROGRAM


def test_without_a_network_the_error_says_where_it_looked_and_what_to_do(
    find: Callable[..., Path], tmp_path: Path, server: ReleaseServer
) -> None:
    # Port 1 of loopback: nobody listens there.
    with pytest.raises(TerraformNotFoundError) as caught:
        find(release_url="https://127.0.0.1:1/tf")
    for part in (
        "neither terraform nor tofu is on the PATH",
        str(tmp_path / "data" / "terraform" / VERSION),
        f"https://127.0.0.1:1{ARCHIVE}",
        "refused",
        "install Terraform or set PROVISIONERD_TERRAFORM_BINARY",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/tf", "file:///tmp", "ftp://127.0.0.1/tf", "releases", ""]
)
def test_a_mirror_is_reached_by_https_only(url: str, find: Callable[..., Path]) -> None:
    with pytest.raises(TerraformNotFoundError, match="the release URL is not https"):
        find(release_url=url)


def test_a_data_directory_that_cannot_be_written_is_an_error_in_one_sentence(
    find: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("a file in its place")
    with pytest.raises(TerraformNotFoundError, match="Not a directory") as caught:
        find()
    assert "\n" not in str(caught.value)
