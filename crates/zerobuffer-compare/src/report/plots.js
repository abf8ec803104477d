"use strict";
// Drawing: scales, axes, lines and bars as SVG. Knows nothing of what is drawn.

const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function element(name, attributes, parent, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

/** A number with the prefix that keeps it short. */
function short(value, unit) {
  const steps = {
    "ns": [[1, "ns"], [1e3, "µs"], [1e6, "ms"], [1e9, "s"]],
    "frames/s": [[1, "/s"], [1e3, "k/s"], [1e6, "M/s"]],
    "bytes/s": [[1, "B/s"], [1e3, "kB/s"], [1e6, "MB/s"], [1e9, "GB/s"]],
    "bytes": [[1, "B"], [1024, "KiB"], [1048576, "MiB"]],
    "times": [[0, "×"]],
  }[unit] || [[0, "s"]];
  let [step, name] = steps[0];
  for (const [from, label] of steps) if (Math.abs(value) >= from) [step, name] = [from, label];
  const scaled = value / (step || 1);
  const digits = scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
  return `${parseFloat(scaled.toFixed(digits))} ${name}`;
}

/** Whole powers of ten within a range, and steps between them where there are few. */
function ticks(low, high) {
  let found = [];
  for (const steps of [[1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
    found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const step of steps) {
        const value = step * 10 ** power;
        if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
      }
    }
    if (found.length >= 3) break;
  }
  return found;
}

function hint(target, text) {
  const box = document.getElementById("hint");
  target.addEventListener("pointermove", event => {
    box.textContent = text;
    box.style.display = "block";
    const left = Math.min(event.clientX + 12, innerWidth - box.offsetWidth - 8);
    box.style.left = `${left}px`;
    box.style.top = `${event.clientY + 14}px`;
  });
  target.addEventListener("pointerleave", () => { box.style.display = "none"; });
  shape("title", {}, target, text);
}

/**
 * Lines over a common axis, both logarithmic. `lines`: [{name, colour, dash, wide, points: [{x, y, note}]}];
 * `marks`: [{x, label}] along the bottom.
 */
function linePlot(parent, title, { lines, marks, unit, place, width = 520, height = 320 }) {
  const figure = element("figure", { "data-title": title }, parent);
  element("figcaption", {}, figure, title);
  const left = 66, right = 30, top = 10, bottom = 28;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title }, figure);
  const values = lines.flatMap(line => line.points.map(point => point.y)).filter(value => value > 0);
  if (!values.length) return;
  const low = Math.min(...values) / 1.15, high = Math.max(...values) * 1.15;
  const y = value => top + (height - top - bottom) * Math.log(high / value) / Math.log(high / low);
  const places = marks.map(mark => place(mark.x)), first = Math.min(...places), last = Math.max(...places);
  const x = value => left + (width - left - right) * (last > first ? (place(value) - first) / (last - first) : 0.5);
  for (const value of ticks(low, high)) {
    shape("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }, svg);
    shape("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, svg, short(value, unit));
  }
  for (const mark of marks) {
    shape("line", { class: "grid", x1: x(mark.x), x2: x(mark.x), y1: top, y2: height - bottom }, svg);
    shape("text", { x: x(mark.x), y: height - 9, "text-anchor": "middle" }, svg, mark.label);
  }
  // Ours last, on top of the others.
  for (const line of [...lines].sort((a, b) => a.wide - b.wide)) {
    const points = line.points.filter(point => point.y > 0);
    if (!points.length) continue;
    const path = points.map((point, at) => `${at ? "L" : "M"}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`);
    const style = `stroke:${line.colour};stroke-width:${line.wide ? 2.6 : 1.6}`;
    const attributes = { d: path.join(""), style, fill: "none", "stroke-linejoin": "round", "data-peer": line.name };
    if (line.dash) attributes["stroke-dasharray"] = line.dash;
    shape("path", attributes, svg);
    for (const point of points) {
      const dot = shape("circle", { cx: x(point.x).toFixed(1), cy: y(point.y).toFixed(1), r: line.wide ? 3.4 : 2.6,
        style: `fill:${line.colour}` }, svg);
      hint(dot, `${line.name}: ${point.note}`);
    }
  }
  legend(figure, lines);
}

function legend(parent, lines) {
  const box = element("div", { class: "legend" }, parent);
  for (const line of lines) {
    const item = element("span", {}, box);
    const key = shape("svg", { viewBox: "0 0 22 8", class: "key" }, item);
    const style = `stroke:${line.colour};stroke-width:${line.wide ? 3 : 2}`;
    shape("line", { x1: 0, x2: 22, y1: 4, y2: 4, style, "stroke-dasharray": line.dash || "none" }, key);
    item.append(line.name);
  }
}

/** Bars from a line at one, to the right where more than one. `bars`: [{name, median, least, most, note}]. */
function ratioPlot(parent, bars) {
  const figure = element("figure", {}, parent);
  const width = 1040, left = 470, right = 80, row = 24, top = 8, bottom = 26;
  const height = top + bars.length * row + bottom;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "ratios" }, figure);
  const low = Math.min(0.5, ...bars.map(bar => bar.least)) / 1.1, high = Math.max(2, ...bars.map(bar => bar.most)) * 1.1;
  const x = value => left + (width - left - right) * Math.log(value / low) / Math.log(high / low);
  for (const value of ticks(low, high)) {
    shape("line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: height - bottom }, svg);
    shape("text", { x: x(value), y: height - 8, "text-anchor": "middle" }, svg, short(value, "times"));
  }
  bars.forEach((bar, index) => {
    const middle = top + index * row + row / 2;
    const better = bar.median >= 1;
    const group = shape("g", { class: "bar", "data-case": bar.name, "data-ratio": bar.median.toFixed(4) }, svg);
    shape("text", { class: "name", x: left - 12, y: middle + 4, "text-anchor": "end" }, group, bar.name);
    const [from, to] = better ? [x(1), x(bar.median)] : [x(bar.median), x(1)];
    shape("rect", { x: from, y: middle - 6, width: Math.max(to - from, 1), height: 12, rx: 2,
      style: `fill:var(--${better ? "good" : "bad"})` }, group);
    shape("line", { class: "whisker", x1: x(bar.least), x2: x(bar.most), y1: middle, y2: middle }, group);
    const end = Math.max(x(bar.most), x(bar.median), x(1)) + 8;
    shape("text", { class: "name", x: end, y: middle + 4 }, group, short(bar.median, "times"));
    hint(group, bar.note);
  });
  shape("line", { class: "one", x1: x(1), x2: x(1), y1: top, y2: height - bottom }, svg);
}
