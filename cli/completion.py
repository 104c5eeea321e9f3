"""``provisionerd completion``: shell completion of commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_PROVISIONERD_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    r"""Print the script that lets SHELL complete provisionerd's commands and options.

    \b
    Example:
        provisionerd completion bash > ~/.local/share/bash-completion/completions/provisionerd
        provisionerd completion zsh > ~/.zfunc/_provisionerd    # with ~/.zfunc in fpath
        provisionerd completion fish > ~/.config/fish/completions/provisionerd.fish
    """
    completer = get_completion_class(shell)
    assert completer is not None
    root = context.find_root().command
    click.echo(completer(root, {}, "provisionerd", VARIABLE).source())
