// Numbers as people read them; an unknown one is an empty text.

const SCALES = {
  bytes: [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]],
  FLOP: [[1e15, "PFLOP"], [1e12, "TFLOP"], [1e9, "GFLOP"], [1e6, "MFLOP"], [1, "FLOP"]],
};

/** The unit of many values: the largest in which `largest` is 1 or more; what to divide by, and its name. */
function scaleFor(unit, largest) {
  const scales = SCALES[unit];
  if (!scales) return { divisor: 1, name: unit };
  const [divisor, name] = scales.find(([size]) => largest >= size) ?? scales[scales.length - 1];
  return { divisor, name };
}

function sizeText(bytes) {
  const scale = sizeScale(bytes);
  return `${scaledText(bytes, scale)} ${scale.name}`;
}

/** The unit of one size: the one that leaves less than a thousand of it, as in words/numbers.py. */
function sizeScale(bytes) {
  const units = [[2 ** 40, "TiB"], ...SCALES.bytes];
  const smaller = units.slice(1);
  const index = smaller.findIndex(([size]) => Math.abs(bytes) >= 999.9995 * size);
  const [divisor, name] = units[index < 0 ? smaller.length : index];
  return { divisor, name };
}

function scaledText(value, scale) {
  if (value === null) return "";
  const digits = scale.divisor === 1 ? 0 : 3;
  return (value / scale.divisor).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A value of a column; without `scale` in a unit of its own. */
function valueText(column, value, scale) {
  if (value === null) return "";
  if (column.text) return String(value);
  if (SCALES[column.unit]) {
    const chosen = scale ?? (column.unit === "bytes" ? sizeScale(value) : scaleFor(column.unit, Math.abs(value)));
    return scaledText(value, chosen) + (scale ? "" : ` ${chosen.name}`);
  }
  const options = column.group === "setting" ? { useGrouping: false, maximumSignificantDigits: 12 }
    : Number.isInteger(value) ? {} : { maximumSignificantDigits: 5 };
  return value.toLocaleString("en", options) + (scale || !column.unit ? "" : ` ${column.unit}`);
}

function countText(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
