from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.schema.enums import Transition
from provisioner.build.entries import BuildEnvironmentError
from provisioner.build.environment import (
    FROM_HOST,
    WorkerFacts,
    WorkspaceFacts,
    build_environment,
    check_passed_names,
)
from provisioner.build.parameters import ParameterFacts
from provisioner.engines.terraform.declarations import WORKSPACE_VARIABLES

SECRETS = (
    "PROVISIONERD_DATABASE_URL",
    "PROVISIONERD_REDIS_URL",
    "PROVISIONERD_STATE_KEY",
    "PGPASSWORD",
    "PGPASSFILE",
    "DATABASE_URL",
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
    "REDIS_URL",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "ARM_CLIENT_SECRET",
    "VAULT_TOKEN",
    "GITHUB_TOKEN",
    "SSH_AUTH_SOCK",
    "KUBECONFIG",
    "CODER_SESSION_TOKEN",
    "TF_TOKEN_app_terraform_io",
    "TF_VAR_password",
)

DANGERS = (
    "TF_CLI_ARGS",
    "TF_CLI_ARGS_plan",
    "TF_REATTACH_PROVIDERS",
    "TF_CLI_CONFIG_FILE",
    "TF_DATA_DIR",
    "TF_WORKSPACE",
    "TF_LOG",
    "TF_LOG_PATH",
    "TF_PLUGIN_CACHE_DIR",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "BASH_ENV",
    "HOME",
    "TMPDIR",
)


def facts(transition: Transition = Transition.START) -> WorkspaceFacts:
    return WorkspaceFacts(
        transition=transition,
        workspace_id=UUID(int=1),
        workspace_name="dev",
        owner_id=UUID(int=2),
        owner_name="ada",
        owner_full_name="Ada Lovelace",
        owner_email="ada@example.com",
        owner_groups=("Everyone", 'the "A" team'),
        build_id=UUID(int=3),
        template_id=UUID(int=4),
        template_name="linux",
        template_version="v1",
    )


def build(
    host: dict[str, str] | None = None,
    *,
    transition: Transition = Transition.START,
    parameters: dict[str, str] | None = None,
    previous: dict[str, str] | None = None,
    passed_names: tuple[str, ...] = (),
    cli_config: Path | None = None,
    cache: Path | None = None,
) -> dict[str, str]:
    worker = WorkerFacts(
        host=host or {},
        home=Path("/build/home"),
        terraform_cli_config_file=cli_config,
        plugin_cache_dir=cache,
        platform={},
        passed_names=passed_names,
    )
    chosen = ParameterFacts(
        values=parameters or {},
        previous=previous or {},
        may_omit=transition is Transition.DELETE,
    )
    return build_environment(worker, facts(transition), chosen)


@given(
    host=st.fixed_dictionaries(
        {name: st.just(f"secret of {name}") for name in SECRETS},
        optional={name: st.just("harmless") for name in ("PATH", "LANG", "HTTP_PROXY")},
    ),
    transition=st.sampled_from(Transition),
    passed_names=st.lists(st.sampled_from(["EDITOR", "ARM_TENANT*", "AWS_REGION"])),
)
def test_no_secret_of_the_worker_reaches_a_template(
    host: dict[str, str], transition: Transition, passed_names: list[str]
) -> None:
    environment = build(host, transition=transition, passed_names=tuple(passed_names))
    assert not environment.keys() & set(SECRETS)
    assert "secret" not in "".join(environment.values())


@given(host=st.dictionaries(st.text(min_size=1), st.text(alphabet="ab")))
def test_nothing_but_listed_names_is_taken_from_the_host(host: dict[str, str]) -> None:
    assert build(host).keys() - build().keys() <= set(FROM_HOST)


@pytest.mark.parametrize("name", DANGERS)
def test_what_changes_our_programs_is_not_taken_from_the_host(name: str) -> None:
    assert build({name: "evil"}).get(name) != "evil"


@pytest.mark.parametrize("name", ["PATH", "LANG", "TZ", "https_proxy", "NO_PROXY"])
def test_what_programs_need_is_taken_from_the_host(name: str) -> None:
    assert build({name: "value"})[name] == "value"


def test_a_name_that_the_operator_passes_is_taken_from_the_host() -> None:
    assert build({"EDITOR": "ed"}, passed_names=("EDITOR",))["EDITOR"] == "ed"


def test_a_pattern_that_the_operator_passes_takes_all_it_covers() -> None:
    host = {"AWS_REGION": "eu", "AWS_PROFILE": "p", "aws_lower": "x"}
    assert build(host, passed_names=("AWS_*",)).keys() & host.keys() == {
        "AWS_REGION",
        "AWS_PROFILE",
    }


@pytest.mark.parametrize(
    "name",
    [
        *DANGERS,
        *("PROVISIONERD_DATABASE_URL", "PROVISIONERD_*", "CELERY_*", "TF_CLI_ARGS*", "LD_*"),
        *("TF_VAR_x", "*", "?ATH", "[A-Z]*", ""),
    ],
)
def test_a_dangerous_name_in_the_operators_list_is_refused(name: str) -> None:
    with pytest.raises(BuildEnvironmentError, match="must not be passed"):
        check_passed_names([name])


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("P*", "PROVISIONERD_DATABASE_URL"),
        ("TF_*", "TF_CLI_ARGS_plan"),
        ("L*", "LD_PRELOAD"),
        ("PROV?SIONERD_*", "PROVISIONERD_REDIS_URL"),
    ],
)
def test_a_pattern_that_covers_a_dangerous_name_is_refused(pattern: str, name: str) -> None:
    with pytest.raises(BuildEnvironmentError, match=f"would pass {name} to templates"):
        build({name: "x"}, passed_names=(pattern,))


@pytest.mark.parametrize(
    ("transition", "wire", "variable", "count"),
    [
        (Transition.START, "start", "start", "1"),
        (Transition.STOP, "stop", "stop", "0"),
        (Transition.DELETE, "destroy", "delete", "0"),
    ],
)
def test_the_transition_is_told_in_both_spellings(
    transition: Transition, wire: str, variable: str, count: str
) -> None:
    environment = build(transition=transition)
    assert environment["CODER_WORKSPACE_TRANSITION"] == wire
    assert environment["TF_VAR_workspace_transition"] == variable
    assert environment["TF_VAR_start_count"] == count


def test_the_workspace_is_told_as_in_the_reference() -> None:
    environment = build()
    told = {
        name.removeprefix("CODER_WORKSPACE_"): value
        for name, value in environment.items()
        if name.startswith("CODER_WORKSPACE_")
    }
    assert told == {
        "TRANSITION": "start",
        "NAME": "dev",
        "ID": str(UUID(int=1)),
        "OWNER": "ada",
        "OWNER_ID": str(UUID(int=2)),
        "OWNER_NAME": "Ada Lovelace",
        "OWNER_EMAIL": "ada@example.com",
        "OWNER_GROUPS": '["Everyone", "the \\"A\\" team"]',
        "TEMPLATE_ID": str(UUID(int=4)),
        "TEMPLATE_NAME": "linux",
        "TEMPLATE_VERSION": "v1",
        "BUILD_ID": str(UUID(int=3)),
    }


def test_every_workspace_variable_has_a_value() -> None:
    assert {f"TF_VAR_{name}" for name in WORKSPACE_VARIABLES} <= build().keys()


def test_a_parameter_is_told_under_the_hash_of_its_name() -> None:
    digest = hashlib.sha256(b"my region").hexdigest()
    assert build(parameters={"my region": "eu"})[f"CODER_PARAMETER_{digest}"] == "eu"


def test_the_value_of_the_build_before_is_told_beside_it() -> None:
    digest = hashlib.sha256(b"size").hexdigest()
    environment = build(parameters={"size": "2"}, previous={"size": "1"})
    assert environment[f"CODER_PARAMETER_PREVIOUS_{digest}"] == "1"
    assert environment[f"CODER_PARAMETER_{digest}"] == "2"


def test_no_value_of_a_user_is_read_as_hcl() -> None:
    environment = build(parameters={"region": "[for a in range(9): a]", "a=b": "x"})
    assert [name for name in environment if name.startswith("TF_VAR_")] == [
        f"TF_VAR_{name}"
        for name in (
            "workspace_transition",
            "workspace_name",
            "workspace_owner",
            "workspace_id",
            "start_count",
        )
    ]


@pytest.mark.parametrize("value", ["x" * 131_072, "a\0b"], ids=["size", "NUL"])
def test_a_delete_does_without_a_value_that_cannot_be_told(value: str) -> None:
    environment = build(transition=Transition.DELETE, parameters={"notes": value, "size": "1"})
    assert [name[:16] for name in environment if "PARAMETER" in name] == ["CODER_PARAMETER_"]


def test_a_value_of_the_build_before_that_cannot_be_told_is_left_out() -> None:
    assert not any("PREVIOUS" in name for name in build(previous={"notes": "x" * 131_072}))


def test_home_and_temporary_files_are_the_builds_own() -> None:
    environment = build({"HOME": "/root", "TMPDIR": "/tmp"})
    assert (environment["HOME"], environment["TMPDIR"]) == ("/build/home", "/build/home")


def test_terraform_never_asks_and_never_calls_home() -> None:
    environment = build()
    assert [environment[name] for name in ("TF_INPUT", "TF_IN_AUTOMATION")] == ["0", "1"]
    assert environment["CHECKPOINT_DISABLE"] == "1"


def test_the_configured_files_are_named() -> None:
    environment = build(cli_config=Path("/etc/tf.rc"), cache=Path("/cache"))
    assert environment["TF_CLI_CONFIG_FILE"] == "/etc/tf.rc"
    assert environment["TF_PLUGIN_CACHE_DIR"] == "/cache"


def test_files_that_are_not_configured_are_not_named() -> None:
    assert not build().keys() & {"TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR"}


def test_a_host_without_a_path_gets_the_usual_one() -> None:
    assert "/usr/bin" in build()["PATH"].split(":")


def test_a_parameter_cannot_replace_another_entry() -> None:
    # Its entries have names of their own, whatever it is called.
    parameters = {"PATH": "/evil", "TF_CLI_ARGS": "evil", "LD_PRELOAD": "evil"}
    environment = build({"PATH": "/bin"}, parameters=parameters)
    assert environment["PATH"] == "/bin"
    assert not environment.keys() & {"TF_CLI_ARGS", "LD_PRELOAD"}


def test_a_nul_in_a_parameter_is_refused_by_the_parameters_name() -> None:
    with pytest.raises(BuildEnvironmentError, match='value of parameter "region" contains a NUL'):
        build(parameters={"region": "a\0b"})


def test_a_nul_in_another_value_is_refused_by_the_entrys_name() -> None:
    with pytest.raises(BuildEnvironmentError, match="value of PATH contains a NUL"):
        build({"PATH": "a\0b"})


def test_a_value_that_no_process_could_be_given_is_refused() -> None:
    with pytest.raises(BuildEnvironmentError, match='parameter "notes" does not fit'):
        build(parameters={"notes": "x" * 131_072})
