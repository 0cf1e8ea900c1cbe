"""The command `lorafa-prof`."""

from __future__ import annotations

import importlib
import sys

import click

from lorafa_prof.errors import LorafaProfError, UsageError, described
from lorafa_prof.words.phrases import one_line

#: Each command's module and object; they are imported when the command is used.
COMMANDS = {
    "run": ("lorafa_prof.cli.run", "run_command"),
    "check": ("lorafa_prof.cli.check", "check_command"),
    "compare": ("lorafa_prof.cli.compare", "compare_command"),
    "fit": ("lorafa_prof.cli.fit", "fit_command"),
    "explain": ("lorafa_prof.cli.explain", "explain_command"),
    "timeline": ("lorafa_prof.cli.timeline", "timeline_command"),
    "verify": ("lorafa_prof.cli.verify", "verify_command"),
    "report": ("lorafa_prof.cli.report", "report_command"),
    "list": ("lorafa_prof.cli.list", "list_command"),
    "doctor": ("lorafa_prof.cli.doctor", "doctor_command"),
}


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
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lorafa-prof")
def cli() -> None:
    """Measure the memory, FLOPs and speed of fine-tuning steps: Full-FT, LoRA and LoRA-FA."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors become one line on stderr and the exit code of the contract."""
    try:
        given = sys.argv[1:] if arguments is None else arguments
        code = cli.main(args=given, prog_name="lorafa-prof", standalone_mode=False, obj=given)
    except LorafaProfError as error:
        click.echo(f"lorafa-prof: {one_line(str(error))}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(UsageError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("lorafa-prof: interrupted", err=True)
        sys.exit(130)
    except Exception:
        raise
    except BaseException as error:  # noqa: BLE001 - of code that ran here; as it is, SystemExit(0) would be a pass
        click.echo(f"lorafa-prof: ended before it was done, by {one_line(described(error))}", err=True)
        sys.exit(LorafaProfError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
