"""What learning runs come to: methods against each other, and the best cell of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lorafa_prof.concluding.conclusion import Conclusion
from lorafa_prof.concluding.naming import sentence
from lorafa_prof.figures.kit.points import distinct_names, in_order, point_of
from lorafa_prof.quality.comparison import Comparison, comparisons
from lorafa_prof.quality.group import Group
from lorafa_prof.quality.interval import Interval
from lorafa_prof.quality.measures import QUALITY, mean_of
from lorafa_prof.words.numbers import percent
from lorafa_prof.words.phrases import count, listed


def learned_conclusions(groups: Sequence[Group]) -> list[Conclusion]:
    """What the cells of learning runs come to, each at its chosen learning rate; of none of them nothing."""
    settings = {group.cell_id: group.settings for group in groups}
    names = distinct_names(in_order([point_of({**each, "status": "ok"}) for each in settings.values()]))
    tasks = dict.fromkeys(group.task for group in groups)
    best = [_best([group for group in groups if group.task == task], names) for task in tasks]
    return [*(_compared(each, names) for each in comparisons(groups)), *filter(None, best)]


def _compared(found: Comparison, names: Mapping[str, str]) -> Conclusion:
    one, other = (names[group.cell_id] for group in (found.group, found.other))
    costs = [
        _ratio(found.peak, "its peak while training is", ("lower", "higher"), "the same"),
        _ratio(found.seconds, "it trains for", ("less time", "more time"), "as long"),
    ]
    told = [
        f"on {found.group.task}, {one} scores {_better(found.quality)} {other} ({_over(found.quality)})",
        listed(filter(None, costs)),
        f"this is at {found.at}",
    ]
    text = " ".join(sentence(each) for each in told if each)
    return Conclusion("learning", text, (found.group.cell_id, found.other.cell_id))


def _better(points: Interval) -> str:
    if not round(points.mean, 2):
        return "as much as"
    return f"{abs(points.mean):.2f} points {'more' if points.mean > 0 else 'less'} than"


def _over(points: Interval) -> str:
    """What the seeds say of a difference."""
    if points.low is None or points.high is None:
        return "one seed, which does not tell it from chance"
    sure = "" if points.low > 0 or points.high < 0 else ", so that this may be chance"
    interval = f"{points.low:+.2f} to {points.high:+.2f} with 95 % confidence"
    return f"{interval} over {count(points.count, 'seed')}{sure}"


def _ratio(ratio: float | None, words: str, directions: tuple[str, str], same: str) -> str:
    if ratio is None:
        return ""
    change = percent(abs(ratio - 1))
    return f"{words} {same if change == percent(0) else f'{change} {directions[ratio > 1]}'}"


def _best(groups: Sequence[Group], names: Mapping[str, str]) -> Conclusion | None:
    """The cell with the best mean; None where no cell has one."""
    known = [(mean.mean, group) for group in groups if (mean := mean_of(group, QUALITY)) is not None]
    if not known:
        return None
    score, group = max(known, key=lambda each: each[0])
    assert group.chosen is not None
    which = f"the best of {count(len(known), 'cell')}" if len(known) > 1 else "the one cell with a score"
    at = f"at learning rate {group.chosen.learning_rate:g}, over {count(len(group.runs), 'seed')}"
    reached = f"{group.metric_name} {score:.2f} of 100 on the {group.split} split"
    text = sentence(f"on {group.task}, {which} is {names[group.cell_id]} with {reached} {at}")
    return Conclusion("learning", text, (group.cell_id,))
