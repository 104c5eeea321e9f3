from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from db.jobs.declarations import Template, TemplateParameter, TemplateVariable
from provisioner.engines.terraform import hcl
from provisioner.engines.terraform.declarations import (
    WORKSPACE_VARIABLES,
    read_template,
)
from provisioner.engines.terraform.hcl import TemplateError

EVERYTHING = """
/* a comment
   of two lines */
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}
# variable "commented" {}
locals {
  names = [for k, v in var.tags : upper(k) if v != ""]
  text  = "${var.region}-${var.size > 1 ? "many" : "one"} %{if true}x%{endif}"
}
resource "terraform_data" "home" {
  count = var.start_count
  input = { daily_cost = 3, words = <<-EOT
    variable "in_a_text" {
  EOT
  }
  provisioner "local-exec" {
    command = "echo '}' // {"
  }
  lifecycle {
    precondition {
      condition     = provider::x::y(var.tags[*].a...)
      error_message = "no"
    }
  }
}
output "o" { value = var.region }
"""


def template(files: Mapping[str, str | bytes]) -> Template:
    return read_template(
        {
            name: memoryview(text.encode() if isinstance(text, str) else text)
            for name, text in files.items()
        }
    )


def read(**files: str) -> dict[str, TemplateVariable]:
    found = template({f"{name}.tf": text for name, text in files.items()})
    return {variable.name: variable for variable in found.variables}


def parameters(**files: str) -> dict[str, TemplateParameter]:
    found = template({f"{name}.tf": text for name, text in files.items()})
    return {parameter.name: parameter for parameter in found.parameters}


def test_a_variable_with_everything_is_read() -> None:
    text = """
    variable "region" {
      type        = string # where
      description = "Where it \\"runs\\""
      default     = "eu"
      sensitive   = true
      ephemeral   = true
      validation {
        condition     = length(var.region) > 1 && can(regex("^[a-z]", var.region))
        error_message = "Too short."
      }
    }
    """
    assert read(main=text)["region"] == TemplateVariable(
        name="region",
        required=False,
        sensitive=True,
        description='Where it "runs"',
        type="string",
        default="eu",
        ephemeral=True,
    )


def test_an_empty_variable_is_a_required_string() -> None:
    assert read(main='variable "x" {}')["x"] == TemplateVariable(name="x", required=True)


REQUIRED = {
    "no default": ("", True),
    "null": ("default = null", False),
    "empty string": ('default = ""', False),
    "the word null": ('default = "null"', False),
    "false": ("default = false", False),
    "zero": ("default = 0", False),
    "empty list": ("default = []", False),
    "empty object": ("default = {}", False),
    "heredoc": ("default = <<EOT\nlines\nEOT", False),
    "indented heredoc": ("default = <<-EOT\n    lines\n  EOT", False),
    "nullable": ("nullable = true", True),
}


@pytest.mark.parametrize(("body", "required"), REQUIRED.values(), ids=REQUIRED)
def test_a_variable_is_required_without_a_default(body: str, required: bool) -> None:
    variables = read(main=f'variable "x" {{\n  {body}\n}}\n')
    assert variables["x"].required is required


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("string", "string"),
        ('"string"', "string"),
        ("any", "any"),
        ("list(string)", "list(string)"),
        ('map(object({ a = optional(string, "x") }))',) * 2,
    ],
)
def test_the_type_is_given_as_it_is_written(written: str, found: str) -> None:
    variable = read(main=f'variable "x" {{\n  type = {written}\n}}\n')["x"]
    assert variable.type.replace(" ", "") == found.replace(" ", "")


@pytest.mark.parametrize("text", ["abc", "two\nlines"])
def test_a_heredoc_is_read_as_its_text(text: str) -> None:
    main = f'variable "x" {{\n  description = <<EOT\n{text}\nEOT\n}}\n'
    assert read(main=main)["x"].description == f"{text}\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('variable "x" {\n  default = <<EOT\nabc\nEOT \n}', id="blank behind a marker"),
        pytest.param('variable "x" /* c */ {\n}', id="comment before the brace"),
        pytest.param('variable "x" {\n  default = <<__EOT__\nabc\n__EOT__\n}', id="marker"),
        pytest.param('variable "größe" {}\nvariable "x" {}', id="unicode name"),
        pytest.param('locals {\n  a = "${~ x ~}"\n}\nvariable "x" {}', id="trimming"),
        pytest.param('variable "x" {\n  default = /* why */ 1\n}', id="comment before a value"),
        pytest.param("a = " + "(" * 3000 + "1" + ")" * 3000 + '\nvariable "x" {}', id="deep"),
    ],
)
def test_what_terraform_reads_is_read(text: str) -> None:
    assert "x" in read(main=text)


def test_a_file_that_takes_too_long_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow_reader = tmp_path / "reader.py"
    slow_reader.write_text("import time; time.sleep(600)")
    monkeypatch.setattr(hcl, "READER", slow_reader)
    monkeypatch.setattr(hcl, "TIMEOUT", timedelta(seconds=0.1))
    with pytest.raises(TemplateError, match=r"^slow\.tf cannot be read within the limits"):
        template({"slow.tf": 'variable "slow" {}'})


def test_variables_come_in_the_order_of_files_and_lines() -> None:
    variables = read(b='variable "z" {}\nvariable "a" {}', a='variable "m" {}', d=EVERYTHING)
    assert list(variables) == ["m", "z", "a"]


def test_blocks_that_declare_nothing_are_read_past() -> None:
    assert read(main=EVERYTHING) == {}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"variable": {"x": {"type": "number", "default": 1}}}, id="object"),
        pytest.param({"variable": [{"x": {"type": "number", "default": 1}}]}, id="list of blocks"),
        pytest.param({"variable": {"x": [{"type": "number", "default": 1}]}}, id="list of bodies"),
        pytest.param([{"variable": {"x": {"type": "number", "default": 1}}}], id="list of files"),
        pytest.param(
            {"//": "note", "variable": {"//": "note", "x": {"type": "number", "default": 1}}},
            id="comments",
        ),
    ],
)
def test_the_json_syntax_is_read_in_each_shape(document: object) -> None:
    assert template({"main.tf.json": json.dumps(document)}).variables == (
        TemplateVariable(name="x", required=False, type="number", default=1),
    )


def test_a_parameter_of_the_json_syntax_is_read() -> None:
    document = {"data": {"coder_parameter": {"x": {"name": "region", "default": "eu"}}}}
    assert template({"main.tf.json": json.dumps(document)}).parameters == (
        TemplateParameter(name="region", required=False, default="eu"),
    )


def test_an_override_file_changes_only_what_it_names() -> None:
    files = {
        "main.tf": 'variable "x" {\n  description = "kept"\n}\n',
        "a_override.tf": 'variable "x" {\n  default = "set"\n}\n',
    }
    assert template(files).variables == (
        TemplateVariable(name="x", required=False, description="kept", default="set"),
    )


@pytest.mark.parametrize("name", [".hidden.tf", "main.tf~", "notes.md", "main.tf.bak"])
def test_files_that_terraform_ignores_are_not_read(name: str) -> None:
    files = {name: "{{{", "main.tf": 'variable "x" {}'}
    assert [variable.name for variable in template(files).variables] == ["x"]


def test_modules_are_not_read() -> None:
    files = {"main.tf": 'variable "x" {}', "modules/main.tf": 'variable "y" {}'}
    assert [variable.name for variable in template(files).variables] == ["x"]


def test_variables_that_the_daemon_gives_are_not_listed() -> None:
    main = "\n".join(f'variable "{name}" {{}}' for name in WORKSPACE_VARIABLES)
    assert read(main=main) == {}


def test_a_parameter_is_called_by_its_name_attribute() -> None:
    main = """
    data "coder_parameter" "r" {
      name        = "region"
      description = "Where"
      option {
        name  = "Europe"
        value = "eu"
      }
      option {
        name  = "America"
        value = "us"
      }
    }
    """
    assert parameters(main=main) == {
        "region": TemplateParameter(name="region", required=True, description="Where")
    }


def test_a_parameter_without_a_name_is_called_by_its_label() -> None:
    assert parameters(main='data "coder_parameter" "region" {}').keys() == {"region"}


@pytest.mark.parametrize(
    ("body", "required"),
    [
        pytest.param("", True, id="no default"),
        pytest.param("default = null", True, id="null"),
        pytest.param('default = "eu"', False, id="text"),
        pytest.param("default = 2", False, id="number"),
        pytest.param("default = local.region", False, id="expression"),
        pytest.param('default = jsonencode(["a"])', False, id="function"),
        pytest.param("count = var.on ? 1 : 0", False, id="count"),
        pytest.param("for_each = var.all", False, id="for each"),
        pytest.param("name = local.name", False, id="computed name"),
    ],
)
def test_a_parameter_is_required_when_it_surely_needs_a_value(body: str, required: bool) -> None:
    main = f'data "coder_parameter" "x" {{\n  {body}\n}}\n'
    assert parameters(main=main)["x"].required is required


def test_other_data_sources_are_no_parameters() -> None:
    assert parameters(main='data "coder_workspace" "me" {}') == {}


def test_a_variable_with_the_prefix_declares_a_parameter() -> None:
    main = 'variable "parameter_size" {\n  type = number\n  default = 2\n}\n'
    assert parameters(main=main) == {
        "size": TemplateParameter(
            name="size", required=False, default="2", type="number", variable_type="number"
        )
    }


def test_an_ephemeral_variable_declares_a_parameter_for_one_build() -> None:
    main = 'variable "parameter_token" {\n  ephemeral = true\n  default = ""\n}\n'
    found = parameters(main=main)["token"]
    assert (found.ephemeral, found.variable_type) == (True, "string")


def test_a_parameter_of_a_variable_may_have_the_default_null() -> None:
    main = 'variable "parameter_proxy" {\n  type = string\n  default = null\n}\n'
    assert not parameters(main=main)["proxy"].required


def test_a_variable_with_the_prefix_is_not_listed_as_a_variable() -> None:
    assert read(main='variable "parameter_size" {}') == {}


def test_a_variable_that_is_only_the_prefix_is_a_variable() -> None:
    assert read(main='variable "parameter_" {}').keys() == {"parameter_"}


def test_a_template_without_terraform_files_is_an_error() -> None:
    with pytest.raises(TemplateError, match=r"no \.tf or \.tf\.json file"):
        template({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('variable "x" {\n  type = \n}\n', r"^main\.tf line 2: ", id="no value"),
        pytest.param('\nvariable "x" {', r"^main\.tf line 2: ", id="never closed"),
        pytest.param("a = 1\nfoo bar = 2\n", r"^main\.tf line 2: Invalid block", id="no block"),
        pytest.param('x = "open\n', r"^main\.tf line \d", id="open string"),
        pytest.param("}", r"^main\.tf line 1: ", id="closed too often"),
    ],
)
def test_broken_hcl_is_one_sentence_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message) as caught:
        template({"main.tf": text})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('{\n"a": }', r"^main\.tf\.json line 2: not JSON", id="syntax"),
        pytest.param(
            '{"variable": ' + "9" * 5000 + "}",
            r"^main\.tf\.json has a number with too many digits",
            id="digits",
        ),
        pytest.param("[" * 100_000, r"^main\.tf\.json is nested too deeply", id="deep"),
    ],
)
def test_broken_json_is_one_sentence_with_the_file(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        template({"main.tf.json": text})


def test_a_file_that_is_not_utf8_is_named() -> None:
    with pytest.raises(TemplateError, match=r"^main\.tf is not UTF-8"):
        template({"main.tf": b"# caf\xe9"})


@pytest.mark.parametrize("encoded", [b'\xef\xbb\xbfvariable "x" {}', b'variable "x" {\r\n}\r\n'])
def test_files_of_windows_editors_are_read(encoded: bytes) -> None:
    assert [variable.name for variable in template({"main.tf": encoded}).variables] == ["x"]


@pytest.mark.parametrize("text", ["variable = 1", 'data = "x"', "variable {}", '{"a": 1}'])
def test_names_used_for_something_else_declare_nothing(text: str) -> None:
    suffix = "tf.json" if text.startswith("{") else "tf"
    assert template({f"main.{suffix}": text}).variables == ()


def test_workspace_tags_are_expressions() -> None:
    text = """
    data "coder_workspace_tags" "tags" {
      tags = {
        "cluster" = "developers"
        os        = data.coder_parameter.os.value
        name      = "${var.zone}-x"
        cache     = var.cache == "yes" ? "with" : "without"
        level     = 3
      }
    }
    """
    assert template({"main.tf": text}).tags == {
        "cluster": '"developers"',
        "os": "data.coder_parameter.os.value",
        "name": '"${var.zone}-x"',
        "cache": 'var.cache == "yes" ? "with" : "without"',
        "level": "3",
    }


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", '"tags" attribute is required by coder_workspace_tags'),
        ("tags = merge({}, var.more)", '"tags" attribute is expected to be a key-value map'),
        ('tags = { "${var.key}" = "x" }', "the key ${var.key} of a workspace tag is not a literal"),
    ],
)
def test_workspace_tags_that_cannot_be_read_are_refused(body: str, problem: str) -> None:
    with pytest.raises(TemplateError) as caught:
        template({"main.tf": f'data "coder_workspace_tags" "x" {{\n{body}\n}}'})
    assert str(caught.value) == f"can't load workspace tags: {problem}"


def test_a_workspace_tag_is_defined_once() -> None:
    one = 'data "coder_workspace_tags" "{}" {{\ntags = {{ os = "x" }}\n}}\n'
    with pytest.raises(TemplateError, match='workspace tag "os" is defined multiple times'):
        template({"main.tf": one.format("a") + one.format("b")})


def test_files_of_opentofu_count_only_for_opentofu() -> None:
    files = {
        "main.tf": memoryview(b'variable "a" {}\n'),
        "main.tofu": memoryview(b'variable "b" {}\n'),
        "more.tf": memoryview(b'variable "c" {}\n'),
    }
    found = [
        [variable.name for variable in read_template(files, is_tofu=is_tofu).variables]
        for is_tofu in (False, True)
    ]
    assert found == [["a", "c"], ["b", "c"]]
