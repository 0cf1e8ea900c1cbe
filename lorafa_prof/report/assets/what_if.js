// What settings between the run's cells would need: linear between neighbouring cells, never beyond them.

/** Where a value lies among ascending ones: the index below it and how far it is to the next; null beyond them. */
function between(values, value) {
  if (values[0] === null) return [0, 0];
  const above = values.findIndex((each) => each >= value);
  if (above < 0 || value < values[0]) return null;
  if (values[above] === value) return [above, 0];
  return [above - 1, (value - values[above - 1]) / (values[above] - values[above - 1])];
}

/** The cells around a place and what each of them counts; null where the place is beyond the grid. */
function around(grid, place) {
  const ends = grid.axes.map((values, axis) => between(values, place[axis]));
  if (ends.includes(null)) return null;
  let parts = [{ index: 0, weight: 1 }];
  ends.forEach(([below, share], axis) => {
    parts = parts.flatMap(({ index, weight }) => [[below, 1 - share], [below + 1, share]]
      .filter(([, part]) => part > 0)
      .map(([at, part]) => ({ index: index * grid.axes[axis].length + at, weight: weight * part })));
  });
  return parts.map(({ index, weight }) => ({ cell: grid.cells[index], weight }));
}

class WhatIf {
  constructor(place, report) {
    this.report = report;
    this.abouts = [...new Set(report.what_if.map((grid) => grid.about))];
    const shown = report.groups[report.shown].cells.map((number) => report.cells[number]);
    const preferred = report.what_if.find((grid) => grid.cells.some((number) => shown.includes(report.cells[number])));
    this.about = (preferred ?? report.what_if[0]).about;
    this.place = this.start(report.pair.length ? report.cells[report.pair[0]] : shown[0]);
    this.inputs = element("div", { class: "controls" });
    this.rows = element("div", { class: "scroll" });
    this.note = element("p", { class: "muted" });
    place.append(element("section", { class: "chart" }, element("h3", {}, "What if"), this.inputs, this.rows, this.note));
    this.makeInputs();
    this.show();
  }

  get grids() {
    return this.report.what_if.filter((grid) => grid.about === this.about);
  }

  start(cell) {
    return this.report.what_if_axes.map((axis, index) => this.report.value(cell, axis) ?? this.values(index)[0] ?? null);
  }

  /** All values of an axis that some grid has. */
  values(axis) {
    return [...new Set(this.grids.flatMap((grid) => grid.axes[axis]).filter((value) => value !== null))].sort((a, b) => a - b);
  }

  makeInputs() {
    const settings = this.abouts.length > 1 ? [choice("settings", this.abouts.map((about) => [about, about || "as above"]), (about) => {
      this.about = about;
      this.makeInputs();
      this.show();
    })] : [];
    if (settings.length) settings[0].querySelector("select").value = this.about;
    const numbers = this.report.what_if_axes.map((axis, index) => {
      const values = this.values(index);
      if (values.length < 2) return null;
      const [least, most] = [values[0], values[values.length - 1]];
      this.place[index] = Math.min(Math.max(this.place[index], least), most);
      const input = element("input", { type: "number", min: least, max: most, step: 1, value: this.place[index], input: () => {
        this.place[index] = input.value === "" ? NaN : Number(input.value);
        this.show();
      } });
      return element("label", {}, `${axis}, ${least} to ${most}`, input);
    });
    this.inputs.replaceChildren(...settings, ...numbers.filter((each) => each !== null));
  }

  row(grid) {
    const first = this.report.cells[grid.cells[0]];
    const name = element("span", {}, swatch(this.report.methods[this.report.value(first, "method")]), grid.method);
    const parts = around(grid, this.place);
    if (parts === null) return [name, "", "", "beyond the run's cells"];
    const bytes = (column) => parts.reduce((sum, { cell, weight }) => sum + weight * this.report.value(this.report.cells[cell], column), 0);
    const from = parts.length === 1 ? "a cell of the run" : `between ${parts.length} cells`;
    const sign = parts.length === 1 ? "" : "≈ ";
    return [name, sign + sizeText(bytes("activation_bytes")), sign + sizeText(bytes("peak_allocated_bytes")), from];
  }

  show() {
    const header = ["method", "held for backward", "peak allocated", "from"];
    this.rows.replaceChildren(smallTable(header, [false, true, true, false], this.grids.map((grid) => this.row(grid))));
    this.note.textContent = `Between cells of the run each value is a straight line from cell to cell; nothing is said beyond them. ${this.howFar()}`;
  }

  /** How well that goes, by cells within the grids, each left out and told by its neighbours. */
  howFar() {
    const worst = (column) => Math.max(...this.grids.map((grid) => grid.errors[column] ?? -1));
    const [held, peak] = [worst("activation_bytes"), worst("peak_allocated_bytes")];
    if (held < 0) return "How far that is off this run cannot tell: it has no cell between others.";
    const text = (share) => (share < 0.0005 ? "less than 0.1 %" : `${(100 * share).toFixed(1)} %`);
    return `Left out and told by their neighbours, cells of this run come out at most ${text(held)} off in what is held, and ${text(peak)} in the peak.`;
  }
}
