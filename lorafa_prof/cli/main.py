"""The command `lorafa-prof`."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback

import click

from lorafa_prof.cli.first_word import say_what_takes_long
from lorafa_prof.cli.parameters import COMPLETION_VARIABLE, help_with
from lorafa_prof.cli.say import say
from lorafa_prof.cli.standard_streams import (
    READER_GONE_EXIT_CODE,
    ReaderGoneError,
    flush_output,
    guard_streams,
)
from lorafa_prof.errors import LorafaProfError, UsageError, described, first_line
from lorafa_prof.one_line import bounded_line
from lorafa_prof.registry import nearest
from lorafa_prof.versions import check_version

#: Environment variable: a fault of the program shows its traceback.
DEBUG_VARIABLE = "LORAFA_PROF_DEBUG"

#: Each command's module and object; they are imported when the command is used.
COMMANDS = {
    "run": ("lorafa_prof.cli.run", "run_command"),
    "learn": ("lorafa_prof.cli.learn", "learn_command"),
    "check": ("lorafa_prof.cli.check", "check_command"),
    "compare": ("lorafa_prof.cli.compare", "compare_command"),
    "history": ("lorafa_prof.cli.history", "history_command"),
    "fit": ("lorafa_prof.cli.fit", "fit_command"),
    "predict": ("lorafa_prof.cli.predict", "predict_command"),
    "explain": ("lorafa_prof.cli.explain", "explain_command"),
    "timeline": ("lorafa_prof.cli.timeline", "timeline_command"),
    "flops": ("lorafa_prof.cli.flops", "flops_command"),
    "verify": ("lorafa_prof.cli.verify", "verify_command"),
    "report": ("lorafa_prof.cli.report", "report_command"),
    "list": ("lorafa_prof.cli.list", "list_command"),
    "schema": ("lorafa_prof.cli.schema", "schema_command"),
    "doctor": ("lorafa_prof.cli.doctor", "doctor_command"),
}

#: Those that run steps: with other releases of PyTorch and transformers than are supported they do not begin.
RUNNING = ("run", "learn", "check", "fit", "predict", "explain", "timeline", "flops", "verify")


class LazyGroup(click.Group):
    """A group whose commands are imported only when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        help_with(command.params)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named; another name is told with the nearest.

        Raises:
            UsageError: there is no such command.
        """
        name = args[0]
        is_command = self.get_command(ctx, name) is not None or name.startswith("-")
        if not is_command and not ctx.resilient_parsing:
            raise UsageError(
                f"there is no command '{name}'{nearest(name, COMMANDS)}; `lorafa-prof --help` shows all"
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with the first sentence of its help, whole: click would cut it where the line ends."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_sentence(command)) for name, command in found if command])


def _first_sentence(command: click.Command) -> str:
    if command.short_help:
        return command.short_help
    paragraph = " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())
    return f"{paragraph.partition('. ')[0].removesuffix('.')}."


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lorafa-prof")
@click.pass_context
def cli(context: click.Context) -> None:
    """Tell what fine-tuning takes, by full fine-tuning, LoRA or LoRA-FA: memory, FLOPs and time of a step.

    Without a GPU memory and FLOPs are predicted, by running the step on shapes alone.
    """
    if context.invoked_subcommand in RUNNING:
        for name in ("torch", "transformers"):
            check_version(name)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors become one line on stderr and the exit code of the contract."""
    if os.environ.get(COMPLETION_VARIABLE):  # a shell asks; click answers it, and exits
        cli.main(prog_name="lorafa-prof")
    guard_streams()
    say_what_takes_long()
    try:
        given = sys.argv[1:] if arguments is None else arguments
        if any("\0" in argument for argument in given):
            raise UsageError("a NUL character in an argument: no name or path can have one")
        code = cli.main(args=given, prog_name="lorafa-prof", standalone_mode=False, obj=given)
        flush_output()
    except LorafaProfError as error:
        say(f"lorafa-prof: {error}")
        sys.exit(error.exit_code)
    except click.ClickException as error:
        say(f"lorafa-prof: {_wrong_usage(error)}")
        sys.exit(UsageError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say("lorafa-prof: interrupted")
        sys.exit(130)
    except ReaderGoneError:
        sys.exit(READER_GONE_EXIT_CODE)
    except OSError as error:
        if error.filename is None:
            _tell_fault(error)
            sys.exit(LorafaProfError.exit_code)
        # Of a file or folder that whoever meets it had no words for.
        say(f"lorafa-prof: {bounded_line(f'{error.filename}: {error.strerror}')}")
        sys.exit(UsageError.exit_code)
    except Exception as error:  # noqa: BLE001 - the last resort: a traceback is for who mends the program
        _tell_fault(error)
        sys.exit(LorafaProfError.exit_code)
    except BaseException as error:  # noqa: BLE001 - of code that ran here; as it is, SystemExit(0) would be a pass
        say(f"lorafa-prof: ended before it was done, by {bounded_line(described(error))}")
        sys.exit(LorafaProfError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _wrong_usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (`{context.command_path} --help` shows what there is)" if context is not None else ""
    return f"{bounded_line(error.format_message())}{hint}"


def _tell_fault(error: Exception) -> None:
    """Say in one line what nobody foresaw; where it was only to who asks."""
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    told = bounded_line(f"{type(error).__name__}: {first_line(error)}")
    said = (
        "too little memory for this" if isinstance(error, MemoryError) else "this is a fault of lorafa-prof"
    )
    say(f"lorafa-prof: {said}: {told} ({DEBUG_VARIABLE}=1 shows where)")
