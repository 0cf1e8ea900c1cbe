// What stands behind a row: what holds the cell's memory, and how to get the row again.

function explanationOf(cell, report) {
  const explained = cell.explanation;
  return element("div", { class: "cards" },
    statusCard(cell, report),
    Object.keys(cell.parts).length ? partsCard(cell, report) : null,
    explained && Object.keys(explained.phases).length ? phasesCard(explained) : null,
    explained && explained.tensors.length ? tensorsCard(cell, report) : null,
    explained && explained.modules.length ? modulesCard(explained) : null,
    valuesCard(cell, report),
    againCard(cell, report));
}

function card(title, wide, ...children) {
  return element("section", { class: wide ? "card wide" : "card" }, element("h3", {}, title), ...children);
}

function statusCard(cell, report) {
  const told = [];
  const phase = report.value(cell, "failed_phase");
  if (phase !== null) told.push(`It failed in ${phase}: ${report.statusText(cell)}.`);
  const message = report.value(cell, "message");
  if (message !== null) told.push(message);
  if (!cell.explanation && cell.unexplained) told.push(`Not explained: ${cell.unexplained}.`);
  for (const note of cell.explanation?.notes ?? []) if (note !== message) told.push(note);
  return card(cell.label, true, ...told.map((text) => element("p", {}, text)));
}

function partsCard(cell, report) {
  const peak = report.value(cell, "peak_allocated_bytes");
  const rows = report.parts.filter((part) => cell.parts[part.key]).map((part) => {
    const bytes = cell.parts[part.key];
    return [element("span", {}, swatch(part), part.label), sizeText(bytes), peak ? share(bytes, peak) : ""];
  });
  const table = smallTable(["part", "bytes", peak ? "of the peak" : ""], [false, true, true], rows);
  return card("What holds memory", false, table, element("p", { class: "muted" }, peakText(cell, peak)));
}

function share(bytes, whole) {
  return `${(100 * bytes / whole).toFixed(1)} %`;
}

function peakText(cell, peak) {
  if (peak === null) return "The peak was not measured.";
  if (cell.beyond_peak) {
    return `The peak is ${sizeText(peak)}: the parts are ${sizeText(cell.beyond_peak)} more together, `
      + "since each is shown at its own fullest moment and they are not all there at once.";
  }
  const other = cell.parts.other;
  const rest = other ? `; of them ${sizeText(other)} are none of the parts, such as what kernels need for a moment` : "";
  return `The peak is ${sizeText(peak)}${rest}.`;
}

function phasesCard(explained) {
  const phases = Object.entries(explained.phases);
  const highest = phases.reduce((one, other) => (other[1][1] > one[1][1] ? other : one))[0];
  const operations = phases.some(([phase]) => explained.flops[phase] !== undefined);
  const rows = phases.map(([phase, [start, peak, end]]) => [
    phase, sizeText(start), sizeText(peak) + (phase === highest ? " ◂" : ""), sizeText(end),
    ...(operations ? [valueText({ unit: "FLOP" }, explained.flops[phase] ?? null)] : [])]);
  const header = ["phase", "start", "peak", "end", ...(operations ? ["operations"] : [])];
  return card("Allocated, by phase of the step", false,
    smallTable(header, [false, true, true, true, true], rows),
    element("p", { class: "muted" }, `◂ The peak of the step is in ${highest}.`));
}

function kindLabel(kind, report) {
  const part = report.parts.find((each) => each.key === `saved_${kind}`);
  return part ? part.label.replace(/^saved: /, "") : kind.replaceAll("_", " ");
}

function tensorsCard(cell, report) {
  const explained = cell.explanation;
  const known = explained.tensors.some(([, , , , , , why]) => why.length);
  const rows = explained.tensors.map(([kind, module, what, count, bytes, line, why]) => [
    sizeText(bytes), `${count.toLocaleString("en")} ×`, code(what), kindLabel(kind, report),
    element("div", known ? { class: "reasons" } : {}, code(module || "(outside of modules)"),
      ...why.map((reason) => element("div", { class: "muted" }, reason))),
    code(line)]);
  const [count, bytes] = explained.tensors_left_out;
  const module = known ? "module (* is any layer), and what backward needs it for" : "module (* is any layer)";
  return card("Largest tensors that forward leaves for backward", true,
    smallTable(["bytes", "", "each", "kind", module, "saved at"], [true, true], rows),
    leftOut(count, "tensor", bytes),
    element("p", {}, known ? "What would save how much of the peak:" : "Why each of them is kept, and what would save how much of the peak:"),
    element("pre", { class: "code" }, `lorafa-prof explain OUT -k ${report.value(cell, "cell_id")}`));
}

function modulesCard(explained) {
  const rows = explained.modules.map(([module, count, bytes]) => [
    sizeText(bytes), `${count.toLocaleString("en")} ×`, code(module || "(outside of modules)")]);
  const [count, bytes] = explained.modules_left_out;
  return card("The same by module", false,
    smallTable(["bytes", "", "module (* is any layer)"], [true, true], rows),
    leftOut(count, "module", bytes));
}

function leftOut(count, noun, bytes) {
  return count ? element("p", { class: "muted" }, `and ${countText(count, `more ${noun}`)}, together ${sizeText(bytes)}`) : null;
}

function code(text) {
  return element("span", { class: "code" }, text);
}

function valuesCard(cell, report) {
  const facts = report.columns.map((column, index) => [column, cell.row[index]])
    .filter(([column, value]) => value !== null && column.name !== "message")
    .map(([column, value]) => element("div", { title: column.meaning },
      element("dt", {}, column.name), element("dd", {}, valueText(column, value))));
  return card("All values of the row", false, element("dl", { class: "facts" }, ...facts));
}

function againCard(cell, report) {
  const parts = [];
  if (cell.command) parts.push(element("p", {}, "The run's command, for this cell alone:"), element("pre", { class: "code" }, cell.command));
  if (cell.settings) {
    const settings = { ...report.settings, ...cell.settings };
    const yaml = Object.entries(settings).map(([key, value]) => `${key}: ${JSON.stringify(value)}`).join("\n");
    parts.push(element("details", {}, element("summary", {}, "All settings, as a scenario of this one cell"),
      element("p", {}, "As cell.yaml, for `lorafa-prof run cell.yaml`:"), element("pre", { class: "code" }, yaml)));
  }
  if (report.several_machines && cell.machine !== null) parts.push(element("p", {}, `From machine ${cell.machine + 1} of the provenance.`));
  return parts.length ? card("The same row again", true, ...parts) : null;
}
