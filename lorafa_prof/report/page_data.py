"""The data of an HTML report, from which its scripts make table, charts and explanations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lorafa_prof.parts import PEAK_PARTS
from lorafa_prof.report.cell_cards import CellCards
from lorafa_prof.report.cells_table import SHOWN_METRICS, column_name
from lorafa_prof.report.charts import lines_of, method_shades, part_shades
from lorafa_prof.report.content import CellContent, Content
from lorafa_prof.report.what_if import AXES, grids_of
from lorafa_prof.results.columns import Column
from lorafa_prof.results.marks import against, meanings, read
from lorafa_prof.results.table import pandas_dtype

#: Columns that are shown unless the reader asks for others, beside those of the settings that differ.
_SHOWN = ("status", "marks", *SHOWN_METRICS)


def page_data(content: Content) -> dict[str, Any]:
    """In values that JSON can hold."""
    index = {cell.cell_id: number for number, cell in enumerate(content.cells)}
    shared = _shared_settings(content)
    return {
        "columns": [
            {
                "name": column.name,
                "label": column_name(column.name),
                "unit": _unit(column),
                "meaning": column.meaning,
                "group": column.group,
                "text": pandas_dtype(column) == "string",
                "shown": column.name in (*content.varying, *_SHOWN),
            }
            for column in content.columns
        ],
        "cells": [_cell(cell, content, shared) for cell in content.cells],
        "settings": shared,
        "parts": [
            {"key": key, "label": PEAK_PARTS[key].name, **asdict(shades)}
            for key, shades in part_shades().items()
        ],
        "methods": {name: asdict(shades) for name, shades in method_shades(content.points).items()},
        "lines": [
            {**asdict(line), "cell_ids": [index[cell_id] for cell_id in line.cell_ids]}
            for line in lines_of(content.points)
        ],
        "groups": [
            {"about": group.about, "cells": [index[point.cell_id] for point in group.points]}
            for group in content.summary.groups
        ],
        "pair": _pair(content, index),
        "shown": next(
            (number for number, group in enumerate(content.summary.groups) if group is content.summary.shown),
            0,
        ),
        "what_if": [
            {
                "about": grid.about,
                "method": grid.method,
                "axes": list(grid.axes.values()),
                "cells": [index[cell_id] for cell_id in grid.cell_ids],
                "errors": grid.errors,
            }
            for grid in grids_of(content.points)
        ],
        "what_if_axes": list(AXES),
        "several_machines": len(content.environments) > 1,
    }


def _pair(content: Content, index: Mapping[str, int]) -> list[int]:
    """The cells that the headline compares; none without one."""
    headline = content.summary.headline
    return [index[point.cell_id] for point in headline.pair] if headline else []


def _unit(column: Column) -> str:
    """The unit to show: "seq 1024" says enough, and so does a name that is its own unit."""
    return "" if column.group == "setting" or column.unit == column_name(column.name) else column.unit


def _shared_settings(content: Content) -> dict[str, Any]:
    """What the scenarios of all single cells have in common: said once, it takes a fifth of the bytes."""
    scenarios = [cell.scenario for cell in content.cells if cell.scenario is not None]
    if not scenarios:
        return {}
    return {
        key: value
        for key, value in scenarios[0].items()
        if all(key in each and each[key] == value for each in scenarios)
    }


def _cell(cell: CellContent, content: Content, shared: Mapping[str, Any]) -> dict[str, Any]:
    scenario = cell.scenario
    return {
        "label": cell.label,
        "row": [cell.row.get(column.name) for column in content.columns],
        "parts": cell.parts,
        "beyond_peak": cell.beyond_peak,
        "explanation": None if cell.cards is None else _explanation(cell.cards),
        "unexplained": cell.unexplained,
        "command": cell.command,
        "settings": None if scenario is None else {k: v for k, v in scenario.items() if k not in shared},
        "machine": cell.environment,
        **({"doubts": doubts} if (doubts := _doubts(cell)) else {}),
    }


def _doubts(cell: CellContent) -> dict[str, str]:
    """What speaks against values of a marked row, by column."""
    marks = read(str(cell.row.get("marks", "")))
    return {name: meanings(found) for name in cell.row if (found := against(name, marks))}


def _explanation(cards: CellCards) -> dict[str, Any]:
    return {
        "tensors": list(cards.tensors),
        "tensors_left_out": cards.tensors_left_out,
        "modules": list(cards.modules),
        "modules_left_out": cards.modules_left_out,
        "phases": cards.phases,
        "flops": cards.flops,
        "notes": cards.notes,
    }


def script_safe_json(data: Mapping[str, Any]) -> str:
    """JSON that may stand in a ``<script>`` of any type: none of its text can end that or begin another."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
