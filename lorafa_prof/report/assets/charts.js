// Charts of the cells that the filters leave, in the table's order; they say what they leave out.

const MOST_LINES = 20;
const MARKERS = { o: "circle", s: "rect", "^": "triangle", v: "triangle", D: "rectRot", P: "cross", X: "crossRot", p: "star", h: "rectRounded" };

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function narrow() {
  return window.innerWidth < 640;
}

function mostBars() {
  return narrow() ? 16 : 30;
}

/** A box with a title, controls, room for a canvas and a line on what is left out. */
function chartBox(title, controls = []) {
  const canvas = element("canvas", { role: "img" });
  const room = element("div", { class: "canvas" }, canvas);
  const note = element("p", { class: "muted" });
  const box = element("section", { class: "chart" }, element("h3", {}, title),
    controls.length ? element("div", { class: "controls" }, ...controls) : null, room, note);
  return { box, canvas, room, note, chart: null };
}

function draw(place, configuration, alternative, note, height) {
  if (place.chart) place.chart.destroy();
  place.room.style.height = `${height}px`;
  place.canvas.setAttribute("aria-label", `${alternative} The table below has the numbers.`);
  place.note.textContent = note;
  const ink = color("--ink");
  Chart.defaults.color = ink;
  Chart.defaults.borderColor = color("--line");
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.font.size = 12;
  place.chart = new Chart(place.canvas, configuration);
}

/** A label in lines of about so many characters that the bars keep most of the room. */
function inLines(label) {
  const width = narrow() ? 18 : 46;
  const lines = [""];
  for (const word of label.split(/(?<=[ /])/)) {
    if (lines[lines.length - 1].length && lines[lines.length - 1].length + word.length > width) lines.push("");
    lines[lines.length - 1] += word;
  }
  return lines.slice(0, 3).map((line) => (line.length > width + 6 ? `${line.slice(0, width + 5)}…` : line));
}

function barChart(place, cells, report, { unit, datasets, legend, what }) {
  const chosen = cells.slice(0, mostBars());
  const made = datasets(chosen);
  const largest = Math.max(0, ...made.sums);
  const scale = scaleFor(unit, largest);
  const labels = chosen.map((cell) => inLines(report.labelWithStatus(cell)));
  const tallest = Math.max(1, ...labels.map((lines) => lines.length));
  const notes = made.note ? [made.note] : [];
  if (cells.length > chosen.length) {
    notes.push(`${chosen.length} of ${countText(cells.length, "cell")} are drawn, the first of the table: sort or filter it to see others.`);
  }
  draw(place, {
    type: "bar",
    data: { labels, datasets: made.datasets },
    options: {
      indexAxis: "y", animation: false, responsive: true, maintainAspectRatio: false,
      interaction: { mode: "nearest", axis: "y", intersect: false },
      onClick: (event, hits) => { if (hits.length) report.open(chosen[hits[0].index]); },
      scales: {
        x: { stacked: true, beginAtZero: true, title: { display: true, text: scale.name },
          ticks: { callback: (value) => (value / scale.divisor).toLocaleString("en", { maximumFractionDigits: 3 }) },
          afterBuildTicks: (axis) => { axis.ticks = roundTicks(axis.max, scale); } },
        y: { stacked: true, grid: { display: false }, ticks: { autoSkip: false, font: { size: narrow() ? 11 : 12 } } },
      },
      plugins: {
        legend: { display: legend, position: "top", align: "start", labels: { boxWidth: 12, boxHeight: 12, usePointStyle: true } },
        tooltip: {
          mode: "index", axis: "y", filter: (item) => item.raw !== null && item.raw !== 0,
          callbacks: {
            title: (items) => (items.length ? report.labelWithStatus(chosen[items[0].dataIndex]) : ""),
            label: (item) => `${item.dataset.label}: ${valueText({ unit }, item.raw)}`,
          },
        },
      },
    },
  }, `${what} of ${countText(chosen.length, "cell")}.`, notes.join(" "), chosen.length * (10 + 14 * tallest) + (legend ? (narrow() ? 190 : 120) : 60));
}

/** Ticks that are whole in the unit that is shown, where bytes are not counted in tens. */
function roundTicks(largest, scale) {
  const rough = largest / scale.divisor / (narrow() ? 4 : 8);
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough) * scale.divisor;
  const ticks = [];
  for (let value = 0; value <= largest * 1.0001; value += step) ticks.push({ value });
  return ticks;
}

/** What speaks against a cell's value, by the marks of its row; null where nothing does. */
function doubt(cell, column) {
  return cell.doubts?.[column] ?? null;
}

/** A line on values that marks speak against; nothing where there are none. */
function doubtNote(sign, cells, column) {
  const said = [...new Set(cells.map((cell) => doubt(cell, column)).filter((text) => text !== null))];
  return said.length ? `${sign}, and worth less than the others: ${said.join("; ")}.` : "";
}

function memoryBars(cells, report) {
  const border = color("--page");
  const parts = report.parts.filter((part) => cells.some((cell) => cell.parts[part.key]));
  const peaks = cells.map((cell) => report.value(cell, "peak_allocated_bytes"));
  const sums = cells.map((cell, index) => Math.max(peaks[index] ?? 0, Object.values(cell.parts).reduce((one, other) => one + other, 0)));
  const bars = parts.map((part) => ({
    label: part.label, data: cells.map((cell) => cell.parts[part.key] ?? null), backgroundColor: shade(part),
    borderColor: border, borderWidth: 1, stack: "parts", pointStyle: "rect", maxBarThickness: 22,
  }));
  const marks = {
    type: "line", label: "peak allocated", showLine: false, pointStyle: "line", rotation: 90, pointRadius: 9, pointHoverRadius: 9,
    borderColor: color("--ink"), pointBorderColor: color("--ink"), borderWidth: 2.5, pointBorderWidth: 2.5,
    data: peaks,
  };
  const beyond = cells.some((cell) => cell.beyond_peak) ? "Parts beyond the mark of the peak are not all there at once." : "";
  const doubted = doubtNote("Circles at the peak", cells, "peak_allocated_bytes");
  if (doubted) {
    const circled = cells.map((cell) => doubt(cell, "peak_allocated_bytes") !== null);
    marks.pointStyle = circled.map((is) => (is ? "circle" : "line"));
    marks.pointRadius = circled.map((is) => (is ? 5 : 9));
    marks.pointBackgroundColor = border;
  }
  return { sums, datasets: [marks, ...bars], note: [beyond, doubted].filter(Boolean).join(" ") };
}

function speedBars(cells, report) {
  const values = cells.map((cell) => report.value(cell, "tokens_per_s"));
  const own = cells.map((cell) => shade(report.methods[report.value(cell, "method") ?? ""]));
  const hollow = cells.map((cell) => doubt(cell, "tokens_per_s") !== null);
  return {
    sums: values.map((value) => value ?? 0),
    datasets: [{
      label: "tokens/s", data: values, maxBarThickness: 22,
      borderWidth: hollow.map((is) => (is ? 2.5 : 1)), borderColor: own.map((shade, index) => (hollow[index] ? shade : color("--muted"))),
      backgroundColor: own.map((shade, index) => (hollow[index] ? "transparent" : shade)),
    }],
    note: doubtNote("Hollow", cells, "tokens_per_s"),
  };
}

/** The keys of lines, dashed as these are, which Chart.js leaves out. */
function lineKeys(chart, datasets) {
  const keys = Chart.defaults.plugins.legend.labels.generateLabels(chart);
  return keys.map((key) => ({ ...key, pointStyle: "line", lineWidth: 2, lineDash: datasets[key.datasetIndex].borderDash }));
}

/** The cells of one group alone, methods side by side, where the table is not sorted otherwise; all without one. */
function atEqualSettings(cells, report, chosen, sortedByReader) {
  const wanted = chosen === "" ? report.groups : [report.groups[Number(chosen)]];
  const there = new Set(cells);
  const sideBySide = wanted.flatMap((group) => group.cells.map((number) => report.cells[number])).filter((cell) => there.has(cell));
  if (!sideBySide.length) return cells;
  const among = new Set(sideBySide);
  return sortedByReader ? cells.filter((cell) => among.has(cell)) : sideBySide;
}

/** Lines of one model over one axis, of the cells that are shown. */
function lineChart(place, cells, report, { axis, metric, model: asked }) {
  const shown = new Set(cells);
  const models = cells.map((cell) => report.value(cell, "model"));
  const model = models.includes(asked) || !models.length ? asked : models[0];
  const column = report.columns.find((each) => each.name === metric);
  const all = report.lines.filter((line) => line.axis === axis && line.model === model)
    .map((line) => ({ ...line, points: line.cell_ids.map((index) => report.cells[index]).filter((cell) => shown.has(cell))
      .map((cell) => ({ x: report.value(cell, axis), y: report.value(cell, metric), cell })).filter((point) => point.y !== null) }))
    .filter((line) => line.points.length);
  const lines = all.slice(0, MOST_LINES);
  const notes = [];
  if (all.length > lines.length) notes.push(`${lines.length} of ${countText(all.length, "line")} are drawn: filter the cells to see others.`);
  const lost = cells.filter((cell) => report.value(cell, "status") === "oom" && report.value(cell, "model") === model);
  if (lost.length) notes.push(`Not drawn: ${countText(lost.length, "cell")} out of memory.`);
  const doubted = doubtNote("Hollow", lines.flatMap((line) => line.points.map((point) => point.cell)), metric);
  if (doubted) notes.push(doubted);
  const places = [...new Set(lines.flatMap((line) => line.points.map((point) => point.x)).filter((x) => x !== null))].sort((a, b) => a - b);
  const scale = scaleFor(column.unit, Math.max(0, ...lines.flatMap((line) => line.points.map((point) => point.y))));
  const datasets = lines.map((line) => {
    const own = shade(line.shades);
    const ends = places.length > 1 ? [places[0], places[places.length - 1]] : [0, 1];
    return {
      label: line.label, borderColor: own, backgroundColor: own, borderWidth: 2.4 * line.weight, borderDash: line.dash.map((part) => 2 * part),
      pointStyle: MARKERS[line.marker] ?? "circle", rotation: line.marker === "v" ? 180 : 0, pointHitRadius: 8,
      pointRadius: line.points.map((point) => (line.level && !doubt(point.cell, metric) ? 0 : 4.5 * line.weight)),
      pointBackgroundColor: line.points.map((point) => (doubt(point.cell, metric) ? color("--page") : own)),
      data: line.level ? ends.map((x) => ({ ...line.points[0], x })) : line.points,
    };
  });
  draw(place, {
    type: "line",
    data: { datasets },
    options: {
      animation: false, responsive: true, maintainAspectRatio: false, interaction: { mode: "nearest", intersect: false },
      onClick: (event, hits) => { if (hits.length) report.open(datasets[hits[0].datasetIndex].data[hits[0].index].cell); },
      scales: {
        x: { type: axis === "rank" && places[0] > 0 ? "logarithmic" : "linear", title: { display: true, text: axis }, afterBuildTicks: (own) => { own.ticks = places.map((value) => ({ value })); },
          ticks: { callback: (value) => String(value), autoSkip: true, maxRotation: 0 } },
        y: { beginAtZero: true, title: { display: true, text: `${column.label} ${scale.name}` },
          ticks: { callback: (value) => (value / scale.divisor).toLocaleString("en", { maximumFractionDigits: 3 }) },
          afterBuildTicks: (own) => { own.ticks = roundTicks(own.max, scale); } },
      },
      plugins: {
        legend: { position: "top", align: "start", labels: { usePointStyle: true, pointStyleWidth: 34, generateLabels: (chart) => lineKeys(chart, datasets) } },
        tooltip: { callbacks: {
          title: (items) => `${axis} ${items[0].raw.x}`,
          label: (item) => `${item.dataset.label}: ${valueText(column, item.raw.y)}`,
        } },
      },
    },
  }, `${column.label} over ${axis}, ${countText(lines.length, "line")} of ${model}.`, notes.join(" "),
  (narrow() ? 300 : 360) + 22 * Math.ceil(lines.length / (narrow() ? 1 : 4)));
}
