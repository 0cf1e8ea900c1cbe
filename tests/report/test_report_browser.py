"""The HTML report in a real Chromium: it loads, asks nobody, sorts, filters and draws."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from chromium import PROGRAM, Chromium, Tab
from PIL import Image
from reported_runs import MIB, cell, content, details, record, storage, write_run

from lorafa_prof.figures.kit.shades import shades
from lorafa_prof.parts import PEAK_PARTS
from lorafa_prof.report.html import html_report
from lorafa_prof.results.table import write_table
from lorafa_prof.words.numbers import size

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium (Debian: apt-get install chromium)")

HOSTILE = "</script><script>document.title = 'broken'</script>"
WHITE, DARK = (255, 255, 255), (20, 23, 28)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods over two lengths and two ranks, and one cell that ran out of memory."""
    kept = details(
        storage("layers.0.norm", MIB), storage("layers.1.norm", MIB), storage("head", MIB, "logits_loss")
    )
    need = {"module": "layers.*.norm", "op": "Pow", "slot": "self", "gradients_of": [""]}
    kept["saved"]["needs"] = [
        {
            **{key: storage("", MIB)[key] for key in ("kind", "op", "dtype", "shape")},
            "module": "layers.*.norm",
            "needs": [need],
        }
    ]
    runs = [
        record(
            cell(method, rank, seq=seq, model=HOSTILE),
            kept=kept,
            activation_bytes=(3 + rank) * MIB,
            peak_allocated_bytes=(rank + seq) * MIB,
            tokens_per_s=1000.0 * rank,
        )
        for method in ("lora", "lora-fa")
        for rank in (4, 16)
        for seq in (100, 20)
    ]
    lost = record(cell("full-ft", seq=20, model=HOSTILE), "oom", failed_phase="forward", message="no room")
    return written(tmp_path_factory.mktemp("run"), [*runs, lost])


def written(out: Path, runs: list[Any]) -> Path:
    file = out / "report.html"
    file.write_text(html_report(content(write_run(out, runs)), [], {}))
    return file


@pytest.fixture
def tab(browser: Chromium, report: Path) -> Tab:
    tab = Tab(browser)
    tab.open(report)
    return tab


def column(tab: Tab, name: str) -> list[str]:
    """Texts of a column of the table, row by row."""
    texts: list[str] = tab.value(
        "(() => { const heads = [...document.querySelectorAll('.sortable > thead th')];"
        f" const at = heads.findIndex((head) => head.querySelector('[data-column={name}]'));"
        " return [...document.querySelectorAll('.sortable > tbody > tr:not(.behind)')]"
        ".map((row) => row.children[at].textContent); })()"
    )
    return texts


def pixels(tab: Tab, chart: int, color: str) -> int:
    """How many pixels of a chart have a colour, ``#rrggbb``."""
    wanted = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    found: int = tab.value(
        f"""(() => {{
            const canvas = document.querySelectorAll("#charts canvas")[{chart}], wanted = {wanted};
            const {{ data }} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let found = 0;
            for (let at = 0; at < data.length; at += 4) {{
                found += data[at + 3] === 255 && wanted.every((part, i) => Math.abs(data[at + i] - part) < 3);
            }}
            return found;
        }})()"""
    )
    return found


def until(tab: Tab, condition: str) -> None:
    """Wait, for two seconds at most, until a JavaScript condition holds."""
    held = tab.value(
        f"""new Promise((done) => {{
            let tries = 0;
            const look = () => {{
                if ({condition}) done(true); else if (tries++ > 100) done(false); else setTimeout(look, 20);
            }};
            look();
        }})"""
    )
    assert held, f"{condition}; the page says: {tab.value('document.body.innerText')}"


def choose(tab: Tab, select: str, value: str) -> None:
    """Choose a value where a JavaScript expression finds a select."""
    tab.value(
        f"(() => {{ const it = {select}; it.value = '{value}'; it.dispatchEvent(new Event('change')); }})()"
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_loads_without_complaints_and_asks_nobody(
    browser: Chromium, report: Path, width: int, scheme: str
) -> None:
    tab = Tab(browser, width, scheme)
    tab.open(report)
    tab.click(".opener")
    assert tab.value("document.querySelectorAll('.behind').length") == 1
    assert tab.complaints == []
    assert tab.requests == [report.as_uri()]
    assert tab.value("document.documentElement.scrollWidth") <= width, "the page is wider than the window"
    assert tab.value("document.title") == "made-up: lorafa-prof report"
    with Image.open(BytesIO(tab.screenshot())) as picture:
        assert picture.getpixel((2, 2))[:3] == (DARK if scheme == "dark" else WHITE)  # type: ignore[index]


def test_the_policy_stops_what_is_not_the_reports_own(tab: Tab) -> None:
    tab.value(
        """(() => {
            window.stopped = [];
            document.addEventListener("securitypolicyviolation", (event) => {
                window.stopped.push(event.effectiveDirective);
            });
            const script = document.createElement("script");
            document.body.append(Object.assign(script, {textContent: "window.own = 0"}));
            document.body.append(Object.assign(new Image(), {src: "https://localhost/x.png"}));
            document.body.insertAdjacentHTML("beforeend", "<p onclick='window.own = 0'>");
            document.body.lastElementChild.click();  // some versions look at a handler only when it is to run
        })()"""
    )
    until(tab, "new Set(window.stopped).size >= 3")
    assert set(tab.value("window.stopped")) == {"img-src", "script-src-attr", "script-src-elem"}
    assert tab.value("window.own === undefined")


def test_a_click_on_a_header_sorts_numbers_as_numbers_and_unknown_ones_last(tab: Tab) -> None:
    assert column(tab, "seq") == ["100", "20"] * 4 + ["20"]
    tab.click("[data-column=peak_allocated_bytes]")
    rising = ["24.000", "24.000", "36.000", "36.000", "104.000", "104.000", "116.000", "116.000", ""]
    assert column(tab, "peak_allocated_bytes") == rising
    assert tab.value("document.querySelector('[aria-sort=ascending]').textContent") == "peak MiB ▲"
    tab.click("[data-column=peak_allocated_bytes]")
    assert column(tab, "peak_allocated_bytes") == [*reversed(rising[:-1]), ""]


@pytest.mark.parametrize("nbytes", [0, 512, 1000, 1010 * MIB, 1000 * MIB - 1, -3 * 2**29, 5 * 2**40])
def test_the_page_says_sizes_as_everything_else_does(tab: Tab, nbytes: int) -> None:
    assert tab.value(f"sizeText({nbytes})") == size(nbytes)


def test_filters_hold_for_table_and_charts(tab: Tab) -> None:
    tab.click("input[type=search]")
    tab.write("FA 100")
    until(tab, "document.getElementById('shown').textContent === '2 of 9 cells'")
    assert column(tab, "method") == ["lora-fa", "lora-fa"]
    labels = tab.value("Chart.getChart(document.querySelector('#charts canvas')).data.labels.flat()")
    assert labels == ["lora-fa r4, seq 100", "lora-fa r16, seq 100"]
    choose(tab, "document.querySelectorAll('#filters select')[2]", "16")
    assert column(tab, "rank") == ["16"]
    tab.write(" nothing has this")
    until(tab, "document.getElementById('shown').textContent === '0 of 9 cells'")
    assert tab.complaints == []


def test_the_keyboard_opens_and_closes_an_explanation(tab: Tab) -> None:
    tab.value("document.querySelector('[data-column=tokens_per_s]').focus()")
    tab.press("Tab", 9)
    assert tab.value("document.activeElement.getAttribute('aria-label')") == "Explain lora r4, seq 100"
    tab.press("Enter", 13, "\r")
    assert tab.value("document.activeElement.getAttribute('aria-expanded')") == "true"
    told = tab.value("document.querySelector('.behind').innerText")
    assert "layers.*.norm" in told
    assert "2.000 MiB" in told  # two layers of one
    assert "input of a power, for the gradient of its input" in told
    assert "lorafa-prof run mine.yaml --device sim:h100-80gb -k" in told
    assert "The peak of the step is in backward." in told
    assert "lorafa-prof explain OUT -k" in told
    tab.press("Enter", 13, "\r")
    assert tab.value("document.querySelector('.behind')") is None


def test_charts_are_drawn_in_the_colours_of_figures(tab: Tab) -> None:
    assert tab.value("document.querySelectorAll('#charts canvas').length") == 3
    for key in ("weights_bytes", "saved_norm", "saved_logits_loss", "other"):
        assert pixels(tab, 0, PEAK_PARTS[key].color) > 500, key
    for blue_or_vermilion in ("#0072B2", "#D55E00"):
        assert pixels(tab, 1, blue_or_vermilion) > 100
        assert pixels(tab, 2, blue_or_vermilion) > 5000
    # Four times as many tokens per second are a bar four times as long.
    speeds = "Chart.getChart(document.querySelectorAll('#charts canvas')[2])"
    lengths = tab.value(f"{speeds}.getDatasetMeta(0).data.map((it) => it.width)")
    assert lengths[2] == pytest.approx(4 * lengths[0], rel=0.01)


def test_charts_are_drawn_anew_for_a_reader_who_comes_to_prefer_the_dark(tab: Tab) -> None:
    ink = "Chart.getChart(document.querySelector('canvas')).options.color"
    before = tab.value(ink)
    tab.prefer("dark")
    until(tab, f"{ink} !== {before!r}")
    assert pixels(tab, 0, shades(PEAK_PARTS["weights_bytes"].color).dark) > 500
    assert tab.complaints == []


def test_the_line_chart_shows_what_is_chosen(tab: Tab) -> None:
    def shown() -> dict[str, list[list[float]]]:
        found: dict[str, list[list[float]]] = tab.value(
            "Object.fromEntries(Chart.getChart(document.querySelectorAll('#charts canvas')[1]).data.datasets"
            ".map((line) => [line.label, line.data.map((point) => [point.x, point.y])]))"
        )
        return found

    assert shown()["lora-fa r4"] == [[20, 24 * MIB], [100, 104 * MIB]]
    for place, value in enumerate(("activation_bytes", "rank")):
        choose(tab, f"document.querySelectorAll('#charts .chart:nth-of-type(2) select')[{place}]", value)
    assert shown()["lora-fa seq 20"] == [[4, 7 * MIB], [16, 19 * MIB]]


def test_a_click_on_a_bar_opens_the_cell(tab: Tab) -> None:
    x, y = tab.value(
        "(() => { const canvas = document.querySelector('#charts canvas'); canvas.scrollIntoView();"
        " const bar = Chart.getChart(canvas).getDatasetMeta(1).data[3], box = canvas.getBoundingClientRect();"
        " return [box.x + bar.x - 5, box.y + bar.y]; })()"
    )
    tab.click_at(x, y)
    assert tab.value("document.querySelector('.behind h3').textContent") == "lora-fa r16, seq 100"


def labels(tab: Tab, canvas: str) -> list[str]:
    """What stands at the bars of a chart."""
    found: list[str] = tab.value(f"Chart.getChart(document.querySelector('{canvas}')).data.labels.flat()")
    return found


def test_the_headline_is_of_two_cells_and_methods_stand_side_by_side_at_its_settings(tab: Tab) -> None:
    assert labels(tab, "#headline-chart canvas") == ["lora r16, seq 100", "lora-fa r16, seq 100"]
    pairs = [f"{method} r{rank}, seq 100" for rank in (4, 16) for method in ("lora", "lora-fa")]
    assert labels(tab, "#charts canvas") == pairs
    choose(tab, "document.querySelector('#charts select')", "")
    both = labels(tab, "#charts canvas")
    assert len(both) > 8
    assert [label for label in both if label in pairs] == pairs
    assert tab.complaints == []


def what_if(tab: Tab, **values: int | float) -> list[list[str]]:
    """Lines of the panel once these are written into it."""
    label = "[...document.querySelectorAll('#what-if label')].find((it) => it.textContent.startsWith('{}'))"
    for axis, value in values.items():
        tab.value(
            f"(() => {{ const input = {label.format(axis)}.querySelector('input');"
            f" input.value = '{value}'; input.dispatchEvent(new Event('input')); }})()"
        )
    rows: list[list[str]] = tab.value(
        "[...document.querySelectorAll('#what-if tbody tr')]"
        ".map((row) => [...row.children].map((each) => each.textContent))"
    )
    return rows


def test_between_cells_values_are_straight_lines_and_beyond_them_none(tab: Tab) -> None:
    cell_of_the_run = ["lora", "19.000 MiB", "116.000 MiB", "a cell of the run"]
    assert what_if(tab)[0] == cell_of_the_run
    assert what_if(tab, rank=10, seq=60)[0] == ["lora", "≈ 13.000 MiB", "≈ 70.000 MiB", "between 4 cells"]
    assert what_if(tab, rank=32)[0] == ["lora", "", "", "beyond the run's cells"]
    assert what_if(tab, rank=16, seq=100)[0] == cell_of_the_run
    assert "this run cannot tell" in tab.value("document.querySelector('#what-if .muted').textContent")
    assert tab.complaints == []


def test_nothing_is_clipped_on_a_phone(browser: Chromium, report: Path) -> None:
    tab = Tab(browser, 390)
    tab.open(report)
    tab.click(".opener")
    clipped = (
        "[...document.querySelectorAll('.scroll, .card')].filter((it) => it.scrollWidth > it.clientWidth + 1)"
    )
    assert tab.value(f"{clipped}.map((it) => it.textContent)") == []
    assert tab.value("document.documentElement.scrollWidth") == 390


def test_a_hostile_name_is_shown_as_it_is(tab: Tab) -> None:
    tab.click(".opener")
    assert HOSTILE in tab.value("document.querySelector('.behind').innerText")


def test_columns_can_be_chosen(tab: Tab) -> None:
    tab.click("details.columns summary")
    tab.value(
        "[...document.querySelectorAll('.choices label')]"
        ".find((each) => each.textContent.includes(' weights_bytes ')).querySelector('input').click()"
    )
    assert column(tab, "weights_bytes") == ["4.000"] * 8 + [""]


def test_5000_rows_are_shown_page_by_page(browser: Chromium, tmp_path: Path) -> None:
    rows = [
        {
            "cell_id": f"c{n}",
            "status": "ok",
            "model": "m",
            "method": "lora",
            "rank": 1 + n,
            "activation_bytes": n,
        }
        for n in range(5000)
    ]
    write_table(rows, tmp_path / "results.csv")
    file = tmp_path / "report.html"
    file.write_text(html_report(content(tmp_path), [], {}))
    tab = Tab(browser)
    tab.open(file)
    assert column(tab, "rank") == [str(rank) for rank in range(1, 51)]
    assert tab.value("document.querySelector('.chart .muted').textContent").startswith(
        "30 of 5,000 cells are drawn"
    )
    tab.click("[data-column=rank]")
    tab.click("[data-column=rank]")
    tab.click(".pages button:nth-child(2)")
    assert column(tab, "rank") == [str(rank) for rank in range(4950, 4900, -1)]
    assert tab.value("document.querySelector('.pages span').textContent") == "51 to 100 of 5,000"
    assert tab.complaints == []


def test_rows_that_hold_next_to_nothing_are_shown(browser: Chromium, tmp_path: Path) -> None:
    write_table(
        [{"cell_id": "a"}, {"cell_id": "b", "status": "odd", "method": "new"}], tmp_path / "results.csv"
    )
    file = tmp_path / "report.html"
    file.write_text(html_report(content(tmp_path), [], {}))
    tab = Tab(browser)
    tab.open(file)
    assert column(tab, "status") == ["", "odd"]
    tab.click(".opener")
    assert "there is no record of it" in tab.value("document.querySelector('.behind').innerText")
    assert tab.complaints == []


def test_marked_values_are_hollow_and_the_charts_say_why(browser: Chromium, tmp_path: Path) -> None:
    def run(rank: int, *marks: str) -> Any:
        kept = details(storage("norm", MIB), marks=dict.fromkeys(marks, "why"))
        return record(cell(rank=rank), kept=kept, tokens_per_s=100.0)

    tab = Tab(browser)
    tab.open(written(tmp_path, [run(2), run(4, "unsteady"), run(8, "retries")]))
    canvases = "document.querySelectorAll('#charts canvas')"
    memory, line, speed = (f"Chart.getChart({canvases}[{at}]).data.datasets[0]" for at in range(3))
    assert tab.value(f"{memory}.pointStyle") == ["line", "line", "circle"]
    own = tab.value(f"{line}.borderColor")
    assert [fill == own for fill in tab.value(f"{line}.pointBackgroundColor")] == [True, True, False]
    fills = tab.value(f"{speed}.backgroundColor")
    assert [fill == "transparent" for fill in fills] == [False, True, True]
    notes = tab.value("[...document.querySelectorAll('#charts .muted')].map((it) => it.textContent)")
    assert "Circles at the peak, and worth less than the others: allocator retried." in notes[0]
    assert notes[1] == "Hollow, and worth less than the others: allocator retried."
    assert notes[2] == "Hollow, and worth less than the others: unsteady samples; allocator retried."
    assert column(tab, "marks") == ["", "unsteady", "retries"]
    assert tab.complaints == []
