from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from db.schema.enums import ProvisionerType
from worker.broker.secretfile import PREFIX
from worker.settings import (
    TURNED_OFF_WHEN_EMPTY,
    LogFormat,
    Pool,
    Settings,
    SettingsError,
    load_settings,
)

BUG = """
from worker.process.start import run_or_exit
def action():
    password = "hunter" + str(2)
    raise RuntimeError("a bug")
run_or_exit(action)
"""


def load(**variables: str) -> Settings:
    return load_settings({f"{PREFIX}{name}": value for name, value in variables.items()})


def refusal(**variables: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(**variables)
    return str(refused.value)


def test_nothing_needs_to_be_set() -> None:
    assert load().metrics_address == "127.0.0.1:2112"


def test_the_defaults_embed_both_servers() -> None:
    assert (load().database_url, load().redis_url) == (None, None)


def test_every_setting_says_what_it_means_or_is_bounded() -> None:
    silent = {name for name, field in Settings.model_fields.items() if not field.description}
    assert silent <= {"log_level"}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("CONCURRENCY", "8", 8),
        ("POOL", "prefork", Pool.PREFORK),
        ("LOG_FORMAT", "json", LogFormat.JSON),
        ("TAGS", "", {}),
        ("TAGS", "a=1", {"a": "1"}),
        ("TAGS", " a = 1 , b=x=y,", {"a": "1", "b": "x=y"}),
        ("ENGINES", "echo", (ProvisionerType.ECHO,)),
        ("ENGINES", "terraform, echo", (ProvisionerType.TERRAFORM, ProvisionerType.ECHO)),
        ("PASSED_ENVIRONMENT", "AWS_*, PROXY", ("AWS_*", "PROXY")),
        ("METRICS_ADDRESS", "0.0.0.0:1", "0.0.0.0:1"),
        ("WORK_DIR", "/srv/work", Path("/srv/work")),
        ("INIT_TIMEOUT_SECONDS", "0.5", 0.5),
    ],
)
def test_a_variable_is_read_as_its_setting(name: str, text: str, value: object) -> None:
    assert getattr(load(**{name: text}), name.lower()) == value


def test_an_empty_variable_means_the_default() -> None:
    assert load(CONCURRENCY="").concurrency == 4


def test_an_empty_variable_of_the_process_means_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROVISIONERD_DATABASE_URL", "")
    assert load_settings().database_url is None


def test_only_the_given_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISIONERD_CONCURRENCY", "7")
    assert load().concurrency == 4


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:abc/0",
        "redis://h:99999/0",
        "redis://[::1/0",
        "redis://h/abc",
        "http://h/",
        "nonsense",
    ],
)
def test_a_url_of_redis_that_cannot_be_used_is_refused(url: str) -> None:
    assert refusal(REDIS_URL=url).startswith("PROVISIONERD_REDIS_URL: ")


@pytest.mark.parametrize(
    "url", ["redis://h", "redis://:p%40@h:6380/3", "rediss://h/0?a=b", "unix:///run/r.sock?db=1"]
)
def test_a_url_of_redis_is_accepted(url: str) -> None:
    assert load(REDIS_URL=url).redis_address == url


def test_celery_s_own_command_says_what_is_wrong_in_one_sentence() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from worker.app import app; app.conf.broker_url"],
        check=False,
        capture_output=True,
        text=True,
        env={"PROVISIONERD_FAULTS": "bogus"},
        timeout=60,
    )
    said = "Error: PROVISIONERD_FAULTS: there is no fault 'bogus'\n"
    assert (ended.returncode, ended.stderr) == (1, said)


def test_a_bug_before_logging_is_set_up_shows_no_values() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BUG], check=False, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "RuntimeError: a bug" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_an_unknown_fault_is_refused() -> None:
    assert "there is no fault 'bogus'" in refusal(FAULTS="bogus")


@pytest.mark.parametrize("name", sorted(TURNED_OFF_WHEN_EMPTY))
def test_an_address_that_is_empty_is_turned_off(name: str) -> None:
    assert getattr(load(**{name.upper(): ""}), name) == ""


def test_the_home_directory_is_expanded() -> None:
    assert load(DATA_DIR="~/x").data_dir == Path.home() / "x"


def test_builds_work_in_the_data_directory_unless_told_otherwise() -> None:
    assert load(DATA_DIR="/srv").work_root == Path("/srv/work")


def test_a_work_directory_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "link").symlink_to("large")
    assert load(WORK_DIR=str(tmp_path / "link")).work_root == tmp_path / "large"


def test_the_lease_is_a_duration() -> None:
    assert load(LEASE_SECONDS="30").lease == timedelta(seconds=30)


def test_an_override_stands_above_the_environment() -> None:
    assert load_settings({f"{PREFIX}CONCURRENCY": "8"}, concurrency=2).concurrency == 2


def test_variables_of_others_are_passed_over() -> None:
    assert load_settings({"CONCURRENCY": "8", "PATH": "/bin"}).concurrency == 4


def test_a_misspelt_setting_is_refused_with_a_guess() -> None:
    assert refusal(CONCURENCY="8") == (
        "there is no setting PROVISIONERD_CONCURENCY; did you mean PROVISIONERD_CONCURRENCY?"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CONCURRENCY", "0"),
        ("CONCURRENCY", "many"),
        ("CONCURRENCY", "1.5"),
        ("POOL", "gevent"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("TAGS", "a"),
        ("LEASE_SECONDS", "0"),
        ("LEASE_SECONDS", "-1"),
        ("LEASE_SECONDS", "nan"),
        ("LEASE_SECONDS", "inf"),
        ("ENGINES", "pulumi"),
        ("MAX_ATTEMPTS", "0"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_name(name: str, text: str) -> None:
    assert refusal(**{name: text}).startswith(f"{PREFIX}{name}: ")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"RENEW_SECONDS": "7"}, "RENEW_SECONDS must be at most half of FENCE_SECONDS"),
        ({"LEASE_SECONDS": "16"}, "FENCE_SECONDS + FENCE_GRACE_SECONDS must be at most"),
        ({"FENCE_GRACE_SECONDS": "9"}, "FENCE_SECONDS + FENCE_GRACE_SECONDS must be at most"),
        ({"RETAIN_LOGS_DAYS": "91"}, "cannot be kept for longer than the jobs"),
        ({"RETAIN_STATES_DAYS": "91"}, "cannot be kept for longer than the jobs"),
        ({"ENGINES": ","}, "ENGINES must name at least one engine"),
        ({"TAGS": "scope=site"}, 'the tag "scope" must be'),
        ({"TAGS": "a=,b=,c=,d=,e=,f=,g="}, "at most 6 tags, not 7"),
        ({"PASSED_ENVIRONMENT": "PROVISIONERD_DATABASE_URL"}, "PROVISIONERD_DATABASE_URL"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_settings_that_do_not_go_together_are_refused(
    variables: Mapping[str, str], words: str
) -> None:
    assert words in refusal(**variables)


def test_every_problem_is_told_at_once() -> None:
    message = refusal(CONCURRENCY="0", MAX_ATTEMPTS="0")
    assert [part.partition(":")[0] for part in message.split("; ")] == [
        "PROVISIONERD_CONCURRENCY",
        "PROVISIONERD_MAX_ATTEMPTS",
    ]


def test_secrets_are_not_shown() -> None:
    secret = "postgresql://u:hunter2@host/name"
    assert "hunter2" not in repr(load(DATABASE_URL=secret))


def test_a_refusal_does_not_repeat_the_value() -> None:
    assert "hunter2" not in refusal(DATABASE_URL="postgresql://u:hunter2@host/x", CONCURRENCY="0")
