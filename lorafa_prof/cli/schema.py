"""`lorafa-prof schema`: the scenario file as a JSON Schema, for editors."""

from __future__ import annotations

import click

from lorafa_prof.cli.say import put_whole


@click.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of a scenario file, for editors.

    By it they check and complete as one types. It names the models, methods, GPUs and metrics that there are
    here, other packages' too. The shipped scenarios have it beside them, as scenario.schema.json.
    """
    from lorafa_prof.claims.metric import CLAIM_METRICS
    from lorafa_prof.scenario.json_schema import schema_text

    put_whole(schema_text(list(CLAIM_METRICS)))
