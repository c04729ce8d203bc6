"""The command line: a module a command, imported when it is called or listed.

To add a command, write a module here with a function of the module's name, and add the name to
`COMMANDS`. The function's annotated parameters are the options, its docstring is the help and
holds an example (see `isoclr.cli.command`). A command imports what it needs when it runs, so
that listing the commands loads neither torch nor transformers.
"""

import os
import sys
import traceback
from importlib import import_module
from typing import Annotated

import typer
from typer.core import TyperGroup

from data_builders.records import InputError
from isoclr import __version__
from isoclr.cli.command import PlainFlags, command_group, command_of, file_error, usage_message
from isoclr.progress import be_quiet, quiet_libraries
from isoclr.threads import wait_without_spinning

COMMANDS = {
    "Data": (
        "build",
        "build-homologs",
        "build-interactions",
        "select",
        "labels",
        "expression",
        "simulate",
    ),
    "Models": (
        "train",
        "recipes",
        "embed",
        "predict",
        "head",
        "report",
        "map",
        "explain",
        "interact",
        "app",
        "discriminants",
        "search-axes",
        "card",
        "reproduce",
        "push",
    ),
    "Evaluation": (
        "probe",
        "finetune",
        "low-data",
        "retrieve",
        "neighbours",
        "go",
        "information",
        "windows",
        "probe-coding",
        "phenotype",
        "interactions",
    ),
    "Installation": (
        "demo",
        "docs",
        "doctor",
    ),
}
"""Names of the commands by the panel of `isoclr --help` that lists them."""

_QUIET, _VERBOSE = "--quiet", "--verbose"
_VERBOSITIES = ("TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_VERBOSITY")


def main(arguments: list[str] | None = None) -> int:
    """Run `isoclr`.

    Returns:
        0 when the command is done, 2 after one line on standard error about what is wrong with
        its input, 130 when it was interrupted.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    called = " ".join(["isoclr", *[word for word in words if not word.startswith("-")][:1]])
    quiet_libraries()
    wait_without_spinning()
    # These belong to every command, and are taken at either side of its name.
    verbose = _VERBOSE in words
    words.sort(key=lambda word: word not in (_QUIET, _VERBOSE))
    try:
        return application()(words, prog_name="isoclr", standalone_mode=False) or 0
    except typer.TyperException as error:
        problem, message = error, usage_message(error)
    except InputError as error:
        problem, message = error, str(error)
    except OSError as error:
        problem, message = error, file_error(error)
    except (KeyboardInterrupt, typer.Abort):  # before the command ran, which else says so itself
        return _interrupted(called)
    except RuntimeError as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return _interrupted(called)  # while a class was made, which Python makes another error of
    if message:
        if verbose:
            traceback.print_exception(problem)
        print(f"{called}: {message}", file=sys.stderr)
    return 2


def _interrupted(called: str) -> int:
    print(f"{called}: interrupted", file=sys.stderr)
    return 130


class _LazyCommands(PlainFlags, TyperGroup):
    """The group of all commands; finds a command by importing its module."""

    def list_commands(self, ctx) -> list[str]:
        return [name for names in COMMANDS.values() for name in names]

    def get_command(self, ctx, cmd_name: str):
        for panel, names in COMMANDS.items():
            if cmd_name in names:
                return _load(cmd_name, panel)
        return None

    def resolve_command(self, ctx, args):
        self.commands = dict.fromkeys(self.list_commands(ctx))  # for "did you mean"
        return super().resolve_command(ctx, args)


def _load(name: str, panel: str):
    module_name = name.replace("-", "_")
    module = import_module(f"isoclr.cli.{module_name}")
    kinds = getattr(module, "KINDS", None)
    if kinds is not None:
        text = (module.__doc__ or "").removeprefix(f"isoclr {name}: ")
        return command_group(name, text[:1].upper() + text[1:], kinds, panel)
    return command_of(getattr(module, module_name), name, panel)


def application():
    """Return the command that has all others."""
    app = typer.Typer(
        cls=_LazyCommands,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Exit status: 0 done, 2 wrong input, 130 interrupted. Guides: isoclr docs.",
    )
    app.callback()(_isoclr)
    return typer.main.get_command(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"isoclr {__version__}")
        raise typer.Exit()


def _silence(wanted: bool) -> None:
    be_quiet(wanted)


def _speak(wanted: bool) -> None:
    if wanted:
        for name in _VERBOSITIES:  # read when the library is imported; what the user exports wins
            os.environ.setdefault(name, "info")


def _isoclr(
    quiet: Annotated[
        bool,
        typer.Option(
            _QUIET, callback=_silence, help="Show no progress; before or after a command's name"
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            _VERBOSE,
            callback=_speak,
            help="Show what libraries log, and where in the code an error arose",
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version"),
    ] = False,
) -> None:
    """Build data for RNA isoform encoders, train, evaluate and share them."""
