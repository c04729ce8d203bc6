"""Make a command of a function: its parameters are the options, its docstring is the help."""

import contextlib
import dataclasses
import inspect
import os
import select
import sys
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import OptionInfo

from data_builders.records import InputError
from data_builders.storage import check_ending, one_writer, one_writer_of_file
from isoclr.cli.printed import Printed

_ORDER = "isoclr.order"
TAKES_UNKNOWN = "takes_unknown_options"
LOCKS_OUTPUT = "locks_its_output"
AS_JSON = "as_json"
"""Parameter of `--json`, which every command has that returns `Printed`."""


class PlainFlags:
    """A command whose help does not ask for a value where an option takes none."""

    def get_params(self, ctx):
        """As of a command; flags have nothing in the place of a value."""
        params = super().get_params(ctx)  # pyright: ignore[reportAttributeAccessIssue]  a mixin
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class Command(PlainFlags, TyperCommand):
    """A command that knows the order of its options and prints examples below its help."""

    examples: tuple[str, ...] = ()

    def parse_args(self, ctx, args):
        """Keep the options in the order of the command line, which values alone lose."""
        values, _, order = self.make_parser(ctx).parse_args(list(args))
        left = {
            name: iter(value) if isinstance(value, list) else iter([value] * len(order))
            for name, value in values.items()
        }
        ctx.meta[_ORDER] = [(param.name, next(left[param.name], None)) for param in order]
        options = {name for param in self.params for name in param.opts if name.startswith("-")}
        for name, value in ctx.meta[_ORDER]:
            if isinstance(value, str) and (value in options or not value.strip()):
                got = value.strip() or "an empty text"
                raise typer.BadParameter(f"{option_name(name)}: got {got}, wanted a value", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx):
        """Run the command; a file that cannot be read or written is wrong input.

        Once the reader of standard output has seen enough, such as `head`, the command ends as a
        program does that SIGPIPE ends: without a word, status 141.
        """
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except OSError as error:
            if isinstance(error, BrokenPipeError) and _output_is_closed():
                raise typer.Exit(141) from None
            raise InputError(file_error(error)) from error
        except KeyboardInterrupt:
            print(f"{ctx.command_path}: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None

    def format_help(self, ctx, formatter):
        """Print the help, then the examples as they are to be typed."""
        super().format_help(ctx, formatter)
        if self.examples:
            typer.echo(" Examples:")
            for line in self.examples:
                typer.echo(f"   {line}")
            typer.echo()


def command_of(function: Callable, name: str, panel: str | None = None) -> Command:
    """Return the command of a function.

    Args:
        function: its keyword parameters are annotated with `typer.Option`, its positional ones
            with `typer.Argument`. A parameter of a dataclass stands for options: one a field, in
            the help panel that its `PANEL` names; its `NOTE` joins the help. A dataclass that
            has `read_order` gets the options of the command line in their order, as (field,
            value) pairs. Lines of the docstring after "Example:" are examples. A function that
            is annotated to return `Printed` gets the option `--json`. A tuple in the annotation of
            an option that names a file to write lists what the name may end in.
            An attribute of the name `TAKES_UNKNOWN` passes options that the function does not know
            to its list argument. While the function runs, no other command writes into the file
            or folder that its `output` names; one with an attribute `LOCKS_OUTPUT` sees to that
            itself.
        name: of the command.
        panel: the panel of `isoclr --help` that lists it.
    """
    text, _, examples = inspect.cleandoc(function.__doc__ or "").partition("\nExample:\n")
    app = typer.Typer(add_completion=False)
    paragraphs = text.strip().split("\n\n")
    groups = _groups(get_type_hints(function)).values()
    paragraphs += [" ".join(group.NOTE for group in groups if hasattr(group, "NOTE"))]
    app.command(
        name,
        cls=Command,
        help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs).strip(),
        rich_help_panel=panel,
        context_settings={
            "help_option_names": ["-h", "--help"],
            "ignore_unknown_options": getattr(function, TAKES_UNKNOWN, False),
        },
    )(_as_called(function))
    command = typer.main.get_command(app)
    assert isinstance(command, Command)  # as `cls` asks
    command.examples = tuple(inspect.cleandoc(examples).splitlines()) if examples else ()
    return command


class _Group(PlainFlags, TyperGroup):
    """A command that has subcommands."""


def command_group(name: str, text: str, kinds: dict[str, Callable], panel: str):
    """Return a command that has a subcommand of each function in `kinds`."""
    app = typer.Typer(add_completion=False, cls=_Group)
    app.callback()(lambda: None)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)  # what a callback makes of an application
    group.name, group.help, group.rich_help_panel = name, text, panel
    group.no_args_is_help = True
    for kind, function in kinds.items():
        group.add_command(command_of(function, kind))
    return group


def file_error(error: OSError) -> str:
    """Return one line about a file that cannot be read or written."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _output_is_closed() -> bool:
    """Say whether nobody reads standard output any longer; if so, what is left goes nowhere."""
    descriptor = sys.stdout.fileno()
    poll = select.poll()
    poll.register(descriptor, 0)  # errors alone
    closed = any(event & select.POLLERR for _, event in poll.poll(0))
    if closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    return closed


def usage_message(error: typer.TyperException) -> str:
    """Return one line about a command line that cannot be understood."""
    kind, param = type(error).__name__, getattr(error, "param", None)
    if kind == "NoArgsIsHelpError":
        return ""
    if kind == "NoSuchOption":
        near = " or ".join(getattr(error, "possibilities", None) or ())
        option = getattr(error, "option_name", "")
        return f"{option}: no such option" + (f"; did you mean {near}?" if near else "")
    if param is None:
        return error.format_message().removeprefix("Invalid value: ").rstrip(".")
    option = param.opts[0] if param.param_type_name == "option" else param.name.upper()
    if kind == "MissingParameter":
        return f"wanted {option}{f' {param.metavar}' if param.metavar else ''}"
    message, given = error.message, _given(error, param.name)
    if message.startswith("Input should be"):
        kind = "a whole number" if "integer" in message else "a number"
        return f"{option}: got {given}, wanted {kind}"
    if "is not one of" in message:
        choices = message.partition("is not one of ")[2].rstrip(".")
        return f"{option}: got {given}, wanted one of {choices}"
    return f"{option}: {message}".rstrip(".")


def _given(error: typer.TyperException, parameter: str) -> str:
    """Return the value of the parameter that an error is about, as it was typed."""
    context = getattr(error, "ctx", None)
    order: list[tuple[str, object]] = context.meta.get(_ORDER, []) if context else []
    return next((repr(value) for name, value in reversed(order) if name == parameter), "nothing")


def _as_called(function: Callable) -> Callable:
    """Return the function as typer takes it.

    Each dataclass among its parameters is replaced by options; what it returns is printed.
    """
    hints = get_type_hints(function, include_extras=True)
    prints = hints.pop("return", None) is Printed
    groups = _groups(hints)
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            parameters += _options(groups[name])
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(kind=kind, annotation=hints[name]))
    if prints:
        option = typer.Option("--json", help="print one JSON object, for a machine")
        parameters.append(_keyword(AS_JSON, bool, option, default=False))

    def call(_context: typer.Context, **values):
        as_json = values.pop(AS_JSON, False)
        for name, group in groups.items():
            mine = [field.name for field in dataclasses.fields(group) if field.init]
            values[name] = group(**{key: values.pop(key) for key in mine})
            if hasattr(group, "read_order"):
                order = [(key, value) for key, value in _context.meta[_ORDER] if key in mine]
                values[name].read_order(order)
        for name, value in values.items():
            for extra in get_args(hints.get(name))[1:]:
                if isinstance(extra, tuple) and value is not None:
                    check_ending(value, *extra)
        with _one_writer(function, hints, values.get("output"), _context.command_path):
            # What is printed meanwhile, such as by a training, must not come before the object.
            aside = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
            with aside:
                found = function(**values)
        if prints:
            found.show(as_json)
            if found.status:
                raise typer.Exit(found.status)

    context = inspect.Parameter(
        "_context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    call.__signature__ = inspect.Signature([context, *parameters])
    call.__annotations__ = {p.name: p.annotation for p in [context, *parameters]}
    return call


def _one_writer(function: Callable, hints: dict[str, Any], output: str | None, command: str):
    """Return what holds the output of a command while it runs: a folder, or a file in one."""
    if output is None or getattr(function, LOCKS_OUTPUT, False):
        return contextlib.nullcontext()
    extras = get_args(hints["output"])[1:]
    metavars = {extra.metavar for extra in extras if isinstance(extra, OptionInfo)}
    hold = one_writer if "DIR" in metavars else one_writer_of_file
    return hold(output, f"'{command}'")


def _groups(hints: dict[str, type]) -> dict[str, type]:
    """Return the parameters that are dataclasses of options."""
    return {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}


def _options(group: type) -> list[inspect.Parameter]:
    """Return a parameter for each field of a dataclass of options."""
    hints = get_type_hints(group, include_extras=True)
    parameters = []
    for field in dataclasses.fields(group):
        if not field.init:
            continue
        kind, *found = get_args(hints[field.name])
        (option,) = (extra for extra in found if isinstance(extra, OptionInfo))
        option.rich_help_panel = getattr(group, "PANEL", None)
        missing = field.default is dataclasses.MISSING
        default = inspect.Parameter.empty if missing else field.default
        parameters.append(_keyword(field.name, kind, option, default=default))
    return parameters


def _keyword(name: str, kind: type, option: OptionInfo, *, default) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, option],
    )


def option_name(field: str) -> str:
    """Return the option of a field: `homology_genes` is `--homology-genes`."""
    return "--" + field.replace("_", "-")
