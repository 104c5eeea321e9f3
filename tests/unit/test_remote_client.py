"""What commands send to a server of the API, and what they say of each kind of answer."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import click
import pytest

from cli.remote.client import Client, route
from cli.remote.errors import CutOffError, ForeignAnswerError, ServerError, UnreachableError
from cli.remote.server import Server, find_server
from db.errors import ConflictError, InvalidError, NotFoundError, RequestError
from tests.harness.canned import answer_of, answering
from tests.harness.tls import make_certificate, tls_before

TOKEN = "abcdefghij-secretsecretsecretsecr"
MESSAGE = {"message": "There is no user 'bob'.", "detail": None}


def client_of(url: str) -> Client:
    return Client(server=find_server({"PROVISIONERD_URL": url, "PROVISIONERD_TOKEN": TOKEN}))


def error_for(answer: bytes) -> ServerError | RequestError:
    with answering(answer) as server:
        with pytest.raises((ServerError, RequestError)) as caught:
            client_of(server.url).get("/api/v2/x")
        assert TOKEN not in str(caught.value)
        return caught.value  # type: ignore[return-value]


def test_a_request_has_the_token_the_query_and_the_body() -> None:
    with answering(answer_of(200, {"id": 1})) as server:
        answer = client_of(server.url).ask(
            "POST", route("users", "a/b"), query={"status": ["x", "y"], "q": None}, body={"n": 2}
        )
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert answer == {"id": 1}
    assert json.loads(body) == {"n": 2}
    assert head.startswith(b"POST /api/v2/users/a%2Fb?status=x&status=y HTTP/1.1\r\n")
    assert f"\r\nCoder-Session-Token: {TOKEN}\r\n".encode() in head


def test_an_answer_without_a_body_is_none() -> None:
    with answering(b"HTTP/1.1 204 No Content\r\n\r\n") as server:
        assert client_of(server.url).ask("DELETE", "/api/v2/x") is None


def test_the_path_of_the_url_comes_before_the_route() -> None:
    with answering(answer_of(200, [])) as server:
        client_of(f"{server.url}/base/").get("/api/v2/x")
        assert server.requests[0].startswith(b"GET /base/api/v2/x HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("status", "kind"), [(400, InvalidError), (404, NotFoundError), (409, ConflictError)]
)
def test_a_refusal_is_the_error_of_the_database_path(status: int, kind: type[RequestError]) -> None:
    error = error_for(answer_of(status, {"message": "no \x1b[31mway\nout", "detail": "no way"}))
    assert type(error) is kind
    assert str(error) == "no [31mway out (no way)"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(
            answer_of(401, {"message": "You are signed out.", "detail": "API key is invalid."}),
            "does not accept the token (API key is invalid); set PROVISIONERD_TOKEN",
            id="401",
        ),
        pytest.param(
            answer_of(403, {"message": "Forbidden.", "detail": "Only owners do."}),
            "you may not do this: Only owners do.",
            id="403",
        ),
        pytest.param(
            answer_of(429, {"message": "Slow down."}), "has got too many requests", id="429"
        ),
        pytest.param(answer_of(500, {"message": "A bug."}), "with status 500: A bug.", id="500"),
        pytest.param(answer_of(502, b"<html>"), "failed with status 502; try again", id="502"),
        pytest.param(
            answer_of(404, {"message": "Route not found."}), "is too old for this command", id="old"
        ),
    ],
)
def test_another_answer_than_success_is_one_sentence(answer: bytes, sentence: str) -> None:
    error = error_for(answer)
    assert isinstance(error, ServerError)
    assert not isinstance(error, ForeignAnswerError)
    assert sentence in str(error)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(answer_of(200, b"<html>"), "the answer is not JSON", id="html"),
        pytest.param(answer_of(200, b"[" * 100_000), "the answer is not JSON", id="deep"),
        pytest.param(answer_of(404, {"detail": "Not Found"}), "status 404 without", id="foreign"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP", id="ssh"),
        pytest.param(
            answer_of(302, b"", Location="https://elsewhere/login"),
            "it redirects to https://elsewhere/login",
            id="redirect",
        ),
    ],
)
def test_an_answer_of_something_else_is_refused(answer: bytes, sentence: str) -> None:
    error = error_for(answer)
    assert type(error) is ForeignAnswerError
    assert sentence in str(error)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(b"", "the connection was closed", id="closed"),
        pytest.param(answer_of(200, [1, 2])[:-2], "the answer is not complete", id="half"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,",
            "the answer is not complete",
            id="half a chunk",
        ),
    ],
)
def test_an_answer_that_is_cut_off_is_told_from_one_that_never_came(
    answer: bytes, reason: str
) -> None:
    error = error_for(answer)
    assert type(error) is CutOffError
    assert reason in str(error)


def test_an_answer_that_is_too_large_is_refused() -> None:
    large = answer_of(200, b"x" * 3_000_000)
    with answering(large) as server, pytest.raises(ForeignAnswerError, match="more than 1 MiB"):
        client_of(server.url).send("GET", "/api/v2/x", limit=1024**2)


def test_a_server_that_does_not_listen_was_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnreachableError, match=r"cannot be reached \(Connection refused\)"):
        client_of(f"http://127.0.0.1:{port}").get("/api/v2/x")


def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = make_certificate(tmp_path)
    with (
        answering(answer_of(200, [1])) as server,
        tls_before(("127.0.0.1", server.port), certificate, key) as port,
    ):
        client = client_of(f"https://127.0.0.1:{port}")
        with pytest.raises(UnreachableError, match=r"its certificate is not valid.*SSL_CERT_FILE"):
            client.get("/api/v2/x")
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert client.get("/api/v2/x") == [1]


def test_the_lines_of_a_stream_come_one_by_one() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with (
        answering(head + b"4\r\n{}\n\n\r\n3\r\n[1]\r\n0\r\n\r\n") as server,
        client_of(server.url).lines("/api/v2/x") as lines,
    ):
        assert list(lines) == [b"{}\n", b"\n", b"[1]"]


@pytest.mark.parametrize(
    "url",
    [
        "example.com",
        "ftp://example.com",
        "https://",
        "https://alice:password@example.com",
        "https://example.com?token=x",
        "https://example.com:port",
        "https://exam ple.com",
        "https://example.com/\x00",
    ],
)
def test_what_is_not_the_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(click.ClickException, match="is not the URL of a server"):
        client_of(url)


@pytest.mark.parametrize("token", ["a b", "a\r\nHost: x", "a" * 1000, "ä-b"])
def test_what_is_not_a_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(click.ClickException) as caught:
        find_server({"PROVISIONERD_URL": "https://x", "PROVISIONERD_TOKEN": token})
    assert token not in str(caught.value)


def test_a_url_without_a_token_says_how_to_get_one() -> None:
    with pytest.raises(click.ClickException, match="provisionerd token create"):
        find_server({"PROVISIONERD_URL": "https://x"})


def test_a_server_does_not_show_its_token() -> None:
    assert TOKEN not in repr(client_of("https://x"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://Example.com/", "https://example.com"),
        ("http://[::1]:3000/base/", "http://[::1]:3000/base"),
        ("https://example.com:443", "https://example.com"),
    ],
)
def test_a_url_is_shown_in_one_form(url: str, shown: str) -> None:
    server: Server = client_of(url).server
    assert server.url == shown
