// Making elements. Text is only ever set as text, so that nothing in a name can become markup.

/** An element; `attributes` with a function are listeners, `children` are elements or texts. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function choice(label, options, onChange) {
  const select = element("select", { change: () => onChange(select.value) },
    ...options.map(([value, text]) => element("option", { value }, text)));
  return element("label", {}, label, select);
}

function isDark() {
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}

function shade(shades) {
  return isDark() ? shades.dark : shades.light;
}

/** A coloured square; the style of an element in markup would be against the page's own policy. */
function swatch(shades) {
  const made = element("span", { class: "swatch" });
  made.style.backgroundColor = shade(shades);
  return made;
}

/** Rows of texts, numbers or elements; the columns of which `numeric` is true stand to the right. */
function smallTable(header, numeric, rows) {
  const side = (index) => (numeric[index] ? "number" : null);
  return element("table", { class: header.length > 3 ? "stacked" : null },
    element("thead", {}, element("tr", {},
      ...header.map((text, index) => element("th", { scope: "col", class: side(index) }, text)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {},
      ...row.map((cell, index) => element("td", { class: side(index), "data-label": header[index] || null }, cell))))));
}
