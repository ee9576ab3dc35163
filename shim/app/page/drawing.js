
// Elements and lines. Whatever is shown becomes text: names come from clients and never are markup.

const at = id => document.getElementById(id);

// Only what differs is written: a thousand rows a second must not lay the page out a thousand times.
function setText(element, text) { if (element.textContent !== text) element.textContent = text; }
function setAttribute(element, name, value) { if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value); }
function setClass(element, name) { if (element.className !== name) element.className = name; }
function setWidth(element, share) {
  const width = (100 * Math.min(1, Math.max(0, share))).toFixed(1) + "%";
  if (element.style.width !== width) element.style.width = width;
}

function setScale(element, share) {
  const scale = `scaleX(${Math.min(1, Math.max(0, share)).toFixed(4)})`;
  if (element.style.transform !== scale) element.style.transform = scale;
}

function make(tag, className, ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

function makeCell(className, ...content) {
  const cell = make("td", className, ...content);
  cell.setAttribute("role", "cell");
  return cell;
}

function makeRow(...cells) {
  const row = make("tr", "", ...cells);
  row.setAttribute("role", "row");
  return row;
}

function drawing(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// A line over the last quarter of an hour; `told` is what a person hears in its place.
function drawLine(place, values, told, { bars = false } = {}) {
  const width = values.length - 1, height = 30, most = Math.max(1e-9, ...values);
  const y = value => (height - 1 - (height - 3) * value / most).toFixed(2);
  const picture = drawing("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": told });
  if (bars) {
    const path = values.map((value, x) => value ? `M${x - 0.35} ${height}V${y(value)}h.7V${height}z` : "").join("");
    picture.append(drawing("path", { class: "bars", d: path }));
  } else {
    const line = values.map((value, x) => `${x} ${y(value)}`).join("L");
    picture.append(drawing("path", { class: "area", d: `M0 ${height}L${line}L${width} ${height}z` }), drawing("path", { class: "stroke", d: "M" + line }));
  }
  picture.append(drawing("line", { class: "ground", x1: 0, x2: width, y1: height, y2: height }));
  place.replaceChildren(picture);
}

// How fast a number grows: over the last seconds, so that one slow second is no standstill.
class Speed {
  constructor() { this.samples = []; }
  add(time, value) {
    const samples = this.samples;
    if (samples.length && value < samples[samples.length - 1][1]) samples.length = 0;
    samples.push([time, value]);
    while (samples.length > 2 && samples[0][0] < time - 5) samples.shift();
  }
  get value() {
    const samples = this.samples, first = samples[0], last = samples[samples.length - 1];
    return samples.length > 1 && last[0] > first[0] ? (last[1] - first[1]) / (last[0] - first[0]) : null;
  }
}
