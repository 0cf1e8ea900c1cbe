// The table: sorted by a column, page by page, each row with its explanation behind it.

/** Rows of a page; on a narrow one each takes several lines. */
const PAGE = narrow() ? 20 : 50;

function compare(one, other) {
  return typeof one === "string" ? one.localeCompare(other, "en", { numeric: true }) : one - other;
}

/** Cells in the order of a column; unknown values are last, whichever way it goes. */
function sorted(cells, index, descending) {
  const known = cells.filter((cell) => cell.row[index] !== null);
  known.sort((one, other) => (descending ? -1 : 1) * compare(one.row[index], other.row[index]));
  return [...known, ...cells.filter((cell) => cell.row[index] === null)];
}

class CellTable {
  /** A table in `place`; `onSort` is called with the column's index and whether it goes down. */
  constructor(place, report, onSort) {
    this.report = report;
    this.onSort = onSort;
    this.cells = [];
    this.page = 0;
    this.sort = null;
    this.opened = new Set();
    this.shown = new Set(report.columns.filter((column) => column.shown).map((column) => column.name));
    this.head = element("tr");
    this.body = element("tbody");
    this.pages = element("div", { class: "pages" });
    place.append(this.columnChoice(),
      element("div", { class: "scroll", role: "region", "aria-label": "Table of cells", tabindex: "0" },
        element("table", { class: "sortable stacked" }, element("thead", {}, this.head), this.body)),
      this.pages);
  }

  columnChoice() {
    const choices = this.report.columns.filter((column) => column.name !== "method").map((column) => {
      const box = element("input", { type: "checkbox", checked: this.shown.has(column.name), change: () => {
        if (box.checked) this.shown.add(column.name); else this.shown.delete(column.name);
        this.render();
      } });
      return element("li", {}, element("label", {}, box, ` ${column.name} `, element("span", { class: "muted" }, column.meaning)));
    });
    return element("details", { class: "columns" }, element("summary", {}, "Columns of the table"), element("ul", { class: "choices" }, ...choices));
  }

  /** Show these cells from their first page on. */
  show(cells) {
    this.cells = cells;
    this.page = 0;
    this.render();
  }

  /** Open the explanation of a cell that is among those shown, and go there. */
  open(cell) {
    const index = this.cells.indexOf(cell);
    if (index < 0) return;
    this.page = Math.floor(index / PAGE);
    this.opened.add(cell);
    this.render();
    const button = this.body.querySelector(`[data-cell="${this.report.cells.indexOf(cell)}"]`);
    button.focus({ preventScroll: true });
    button.scrollIntoView({ block: "start" });
  }

  columns() {
    const all = this.report.columns.map((column, index) => ({ ...column, index }));
    const method = all.find((column) => column.name === "method");
    return [method, ...all.filter((column) => column !== method && this.shown.has(column.name))].map((column) => ({
      ...column,
      scale: scaleFor(column.unit, Math.max(0, ...this.report.cells.map((cell) => (column.text ? 0 : cell.row[column.index] ?? 0)))),
    }));
  }

  render() {
    const columns = this.columns();
    this.head.replaceChildren(...columns.map((column) => this.header(column)));
    const first = this.page * PAGE;
    const cells = this.cells.slice(first, first + PAGE);
    this.body.replaceChildren(...cells.flatMap((cell) => this.rows(cell, columns)));
    const last = Math.ceil(this.cells.length / PAGE) - 1;
    const step = (text, by, possible) => element("button", { type: "button", disabled: !possible, click: () => { this.page += by; this.render(); } }, text);
    this.pages.replaceChildren(...(last > 0 ? [step("Previous", -1, this.page > 0), step("Next", 1, this.page < last),
      element("span", { role: "status" }, `${first + 1} to ${first + cells.length} of ${this.cells.length.toLocaleString("en")}`)] : []));
  }

  header(column) {
    const active = this.sort?.name === column.name;
    const arrow = active ? (this.sort.descending ? " ▼" : " ▲") : "";
    const click = () => {
      this.sort = { name: column.name, descending: active && !this.sort.descending };
      this.onSort(column.index, this.sort.descending);
      this.head.querySelector(`[data-column="${column.name}"]`).focus();
    };
    const unit = column.scale.name && !column.text ? element("span", { class: "unit" }, ` ${column.scale.name}`) : null;
    return element("th", { scope: "col", class: column.text ? null : "number", "aria-sort": active ? (this.sort.descending ? "descending" : "ascending") : "none" },
      element("button", { type: "button", title: column.meaning, "data-column": column.name, click }, column.label, unit, arrow));
  }

  rows(cell, columns) {
    const opened = this.opened.has(cell);
    const [method, ...others] = columns;
    const toggle = () => {
      if (opened) this.opened.delete(cell); else this.opened.add(cell);
      this.render();
      this.body.querySelector(`[data-cell="${number}"]`).focus();
    };
    const number = this.report.cells.indexOf(cell);
    const name = cell.row[method.index] ?? "";
    const button = element("button", { type: "button", class: "opener", "aria-expanded": String(opened), "aria-label": `Explain ${cell.label}`, "data-cell": number, click: toggle },
      swatch(this.report.methods[name]), name);
    const row = element("tr", {}, element("th", { scope: "row" }, button), ...others.map((column) => this.value(cell, column)));
    return opened ? [row, element("tr", { class: "behind" }, element("td", { colspan: columns.length }, explanationOf(cell, this.report)))] : [row];
  }

  value(cell, column) {
    if (column.name === "status") {
      return element("td", { class: cell.row[column.index], "data-label": column.label }, this.report.statusText(cell));
    }
    const unit = column.scale.name && !column.text ? `${column.label} ${column.scale.name}` : column.label;
    return element("td", { class: column.text ? null : "number", "data-label": unit }, valueText(column, cell.row[column.index], column.scale));
  }
}
