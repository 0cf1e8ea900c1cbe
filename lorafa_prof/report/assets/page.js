// Brings the page to life: filters, charts and table of the cells in the page's data.

const STATUS_WORDS = { oom: "out of memory" };

/** The page's data with what its parts ask of it. */
function readReport() {
  const report = JSON.parse(document.getElementById("data").textContent);
  const places = new Map(report.columns.map((column, index) => [column.name, index]));
  report.value = (cell, name) => (places.has(name) ? cell.row[places.get(name)] : null);
  report.statusText = (cell) => {
    const status = report.value(cell, "status") ?? "";
    return STATUS_WORDS[status] ?? status;
  };
  report.labelWithStatus = (cell) => (report.value(cell, "status") === "ok" ? cell.label : `${report.statusText(cell)}: ${cell.label}`);
  // Not the numbers measured nor the digest of an id, which have any two digits in them, and not what all cells share.
  const searched = report.columns.map((column) => column.shown && (column.group === "setting" || column.name === "status"));
  for (const cell of report.cells) {
    const texts = cell.row.filter((value, index) => searched[index] && value !== null);
    cell.text = [cell.label, report.statusText(cell), ...texts].join(" ").toLowerCase();
    cell.id = report.value(cell, "cell_id").toLowerCase();
  }
  return report;
}

class Page {
  constructor() {
    this.report = readReport();
    this.filters = new Map();
    this.words = [];
    this.order = null;
    this.charts = [];
    this.report.open = (cell) => this.table.open(cell);
    this.makeHeadline();
    if (this.report.what_if.length) this.whatIf = new WhatIf(document.getElementById("what-if"), this.report);
    this.makeFilters();
    this.makeCharts();
    this.table = new CellTable(document.getElementById("table"), this.report, (index, descending) => {
      this.order = { index, descending };
      this.update();
    });
    this.colorMethods();
    this.update();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.colorMethods();
      this.drawHeadline?.();
      this.whatIf?.show();
      this.update();
    });
  }

  makeFilters() {
    const form = document.getElementById("filters");
    form.addEventListener("submit", (event) => event.preventDefault());
    let waiting = null;
    const search = element("input", { type: "search", placeholder: "such as: lora 1024", input: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { this.words = search.value.toLowerCase().split(/\s+/).filter(Boolean); this.update(); }, 100);
    } });
    form.append(element("label", { class: "search" }, "Cells with all these words", search));
    for (const column of this.report.columns.filter((each) => each.shown && (each.group === "setting" || each.name === "status"))) {
      const values = [...new Set(this.report.cells.map((cell) => this.report.value(cell, column.name)))].filter((value) => value !== null);
      if (values.length < 2 || values.length > 40) continue;
      values.sort(compare);
      form.append(choice(column.label, [["", "all"], ...values.map((value) => [String(value), String(value)])], (chosen) => {
        if (chosen) this.filters.set(column.name, chosen); else this.filters.delete(column.name);
        this.update();
      }));
    }
  }

  /** What the headline compares, as bars. */
  makeHeadline() {
    const { report } = this;
    const pair = report.pair.map((number) => report.cells[number]);
    if (!pair.length || !pair.some((cell) => Object.keys(cell.parts).length)) return;
    const bars = chartBox("What holds memory in a step");
    document.getElementById("headline-chart").append(bars.box);
    this.drawHeadline = () => barChart(bars, pair, report, { unit: "bytes", legend: true, what: "What holds memory, by kind,", datasets: (chosen) => memoryBars(chosen, report) });
    this.drawHeadline();
  }

  /** Which of the settings at which methods can be compared the bars are of. */
  groupChoice() {
    const { report } = this;
    this.group = String(report.shown);
    const options = report.groups.map((group, number) => [String(number), group.about || "all"]);
    const select = choice("at", [...options, ["", "all settings"]], (chosen) => { this.group = chosen; this.update(); });
    select.querySelector("select").value = this.group;
    return report.groups.length > 1 ? [select] : [];
  }

  makeCharts() {
    const { report } = this;
    const place = document.getElementById("charts");
    if (report.cells.some((cell) => Object.keys(cell.parts).length)) {
      const bars = chartBox("What holds memory in a step, method by method", this.groupChoice());
      place.append(bars.box);
      this.charts.push((cells) => barChart(bars, atEqualSettings(cells, report, this.group, this.order !== null), report, { unit: "bytes", legend: true, what: "What holds memory, by kind,", datasets: (chosen) => memoryBars(chosen, report) }));
    }
    this.makeLineChart(place);
    if (report.cells.some((cell) => report.value(cell, "tokens_per_s") !== null)) {
      const bars = chartBox("Tokens per second");
      place.append(bars.box);
      const timed = (cells) => cells.filter((cell) => report.value(cell, "tokens_per_s") !== null);
      this.charts.push((cells) => barChart(bars, timed(cells), report, { unit: "tokens/s", legend: false, what: "Tokens per second", datasets: (chosen) => speedBars(chosen, report) }));
    }
  }

  makeLineChart(place) {
    const { report } = this;
    const axes = [...new Set(report.lines.map((line) => line.axis))];
    const metrics = report.columns.filter((column) => !column.text && !["identity", "setting"].includes(column.group));
    const models = [...new Set(report.lines.map((line) => line.model))];
    if (!axes.length || !metrics.length) return;
    const peak = metrics.find((column) => column.name === "peak_allocated_bytes") ?? metrics[0];
    const asked = { axis: axes[0], metric: peak.name, model: models[0] };
    const ordered = [peak, ...metrics.filter((column) => column !== peak)];
    const ask = (name) => (value) => { asked[name] = value; this.update(); };
    const controls = [
      choice("of", ordered.map((column) => [column.name, column.label]), ask("metric")),
      choice("over", axes.map((axis) => [axis, axis]), ask("axis")),
      ...(models.length > 1 ? [choice("model", models.map((model) => [model, model]), ask("model"))] : []),
    ];
    const lines = chartBox("Over what was swept", controls);
    place.append(lines.box);
    this.charts.push((cells) => lineChart(lines, cells, report, asked));
  }

  colorMethods() {
    for (const square of document.querySelectorAll("[data-method]")) {
      square.style.backgroundColor = shade(this.report.methods[square.dataset.method]);
    }
  }

  matches(cell) {
    return this.words.every((word) => cell.text.includes(word) || cell.id === word)
      && [...this.filters].every(([name, value]) => String(this.report.value(cell, name)) === value);
  }

  update() {
    const found = this.report.cells.filter((cell) => this.matches(cell));
    const cells = this.order ? sorted(found, this.order.index, this.order.descending) : found;
    document.getElementById("shown").textContent = `${cells.length.toLocaleString("en")} of ${countText(this.report.cells.length, "cell")}`;
    this.table.show(cells);
    for (const chart of this.charts) chart(cells);
  }
}

new Page();
