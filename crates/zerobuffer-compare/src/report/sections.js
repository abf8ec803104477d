// What is drawn: a section each.

const { run, groups } = JSON.parse(document.getElementById("data").textContent);
const OURS = "zerobuffer 2.0";
const COLOURS = {
  "zerobuffer 2.0": "ours", "zerobuffer 2.0 elastic": "ours", "zerobuffer 2.0, default ring": "ours", "zerobuffer 1.0": "older",
  "iceoryx2": "s1", "rtrb": "s2",
  "unix socket": "s3", "pipe": "s4", "ipc-channel": "s5", "zeromq": "s6", "python zerobuffer-ipc": "s7",
  "aeron": "s8",
};

const DASHES = { "zerobuffer 2.0 elastic": "8 3", "zerobuffer 2.0, default ring": "12 4", "zerobuffer 1.0": "3 3" };

function look(peer) {
  const dash = peer.startsWith("floor") ? "1 3" : DASHES[peer];
  return { name: peer, colour: `var(--${COLOURS[peer] || "floor"})`, wide: peer === OURS, dash };
}

const of = work => groups.filter(group => group.work === work);
const bySize = (a, b) => a.size_bytes - b.size_bytes;

/** A choice of which one holds; `draw` gets it. */
function choice(box, options, draw) {
  const press = chosen => {
    for (const button of box.children) button.setAttribute("aria-pressed", button.textContent === chosen);
    draw(chosen);
  };
  for (const option of options) {
    element("button", {}, box, option).addEventListener("click", () => press(option));
  }
  if (options.length) press(options[0]);
}

function theme() {
  const root = document.documentElement, box = document.getElementById("theme");
  const set = chosen => {
    if (chosen) root.dataset.theme = chosen; else delete root.dataset.theme;
    for (const button of box.children) button.setAttribute("aria-pressed", button.dataset.theme === chosen);
  };
  for (const button of box.children) button.addEventListener("click", () => set(button.dataset.theme));
  // report.html#dark opens in the dark.
  const asked = location.hash.slice(1);
  set(["dark", "light"].includes(asked) ? asked : "");
}

function aboutTheRun() {
  const { machine, pinning } = run;
  const memory = `${Math.round(machine.memory_bytes / 2 ** 30)} GiB`;
  document.getElementById("run").textContent =
    `${machine.cpu}, ${machine.cores} cores, ${memory}, kernel ${machine.kernel}; writer on core ${pinning.first}, reader on ` +
    `core ${pinning.second}. Commit ${run.commit}, ${run.taken}, ${Math.round(run.duration_s)} s.`;
}

function ratios() {
  const section = document.getElementById("ratios"), plot = section.querySelector(".plot");
  const compared = groups.filter(group => group.rows.some(row => row.peer === OURS));
  const peers = [...new Set(compared.flatMap(group => group.rows.filter(row => row.advantage).map(row => row.peer)))];
  const first = peers.indexOf("iceoryx2");
  if (first > 0) peers.unshift(...peers.splice(first, 1));
  peers.sort((a, b) => a.startsWith("floor") - b.startsWith("floor"));
  choice(document.getElementById("peers"), peers, peer => {
    plot.replaceChildren();
    const bars = compared.flatMap(group => group.rows
      .filter(row => row.peer === peer && row.advantage)
      .map(row => ({ name: group.name, ...row.advantage,
        note: `${group.name}, against ${peer}: ${short(row.advantage.median, "times")} better ` +
          `(${short(row.advantage.least, "times")} to ${short(row.advantage.most, "times")})` })));
    ratioPlot(plot, bars);
  });
}

function throughput() {
  const section = document.getElementById("throughput");
  const sized = of("throughput").filter(group => group.name.endsWith("copied, both spinning")).sort(bySize);
  const marks = sized.map(group => ({ x: group.size_bytes, label: group.name.match(/streaming (.*) copied/)[1].replace("iB", "") }));
  const peers = [...new Set(sized.flatMap(group => group.rows.map(row => row.peer)))];
  choice(section.querySelector(".choice"), ["bytes a second", "frames a second"], chosen => {
    const bytes = chosen.startsWith("bytes"), unit = bytes ? "bytes/s" : "frames/s";
    const lines = peers.map(peer => ({ ...look(peer), points: sized.flatMap(group => group.rows
      .filter(row => row.peer === peer && row.spread)
      .map(row => {
        const y = row.spread.median * (bytes ? group.size_bytes : 1);
        return { x: group.size_bytes, y, note: `${short(y, unit)} at ${group.size_bytes} bytes a frame` };
      })) }));
    if (bytes) {
      const points = of("floor").filter(group => group.unit === "bytes/s").sort(bySize).flatMap(group => group.rows
        .filter(row => row.spread && sized.some(one => one.size_bytes === group.size_bytes))
        .map(row => ({ x: group.size_bytes, y: row.spread.median, note: short(row.spread.median, "bytes/s") })));
      if (points.length) lines.push({ ...look("floor: memcpy"), points });
    }
    const plot = section.querySelector(".plot");
    plot.replaceChildren();
    linePlot(plot, `one-way streaming, ${chosen}`, { lines, marks, unit, place: Math.log, width: 1040, height: 420 });
  });
}

function latency() {
  const plots = document.querySelector("#latency .plots");
  const marks = [[50, "50 %"], [90, "90 %"], [99, "99 %"], [99.9, "99.9 %"], [99.99, "99.99 %"]].map(([x, label]) => ({ x, label }));
  for (const group of [...of("latency"), ...of("wake"), ...of("relay"), ...of("request")]) {
    const lines = group.rows.filter(row => row.percentiles.length).map(row => ({ ...look(row.peer),
      points: row.percentiles.filter(({ p }) => p >= 50 && p < 100)
        .map(({ p, value }) => ({ x: p, y: value, note: `${short(value, "ns")} at ${p} %` })) }));
    if (lines.length) linePlot(plots, group.name, { lines, marks, unit: "ns", place: p => -Math.log(1 - p / 100) });
  }
}

function fanOut() {
  const found = of("fanout").map(group => ({ readers: Number(group.name.match(/to (\d+) reader/)[1]), group }));
  found.sort((a, b) => a.readers - b.readers);
  const peers = [...new Set(found.flatMap(({ group }) => group.rows.map(row => row.peer)))];
  const lines = peers.map(peer => ({ ...look(peer), points: found.flatMap(({ readers, group }) => group.rows
    .filter(row => row.peer === peer && row.spread)
    .map(row => ({ x: readers, y: row.spread.median, note: `${short(row.spread.median, "frames/s")} to ${readers}` }))) }));
  const marks = found.map(({ readers }) => ({ x: readers, label: `${readers}` }));
  if (!found.length) return document.getElementById("fanout").remove();
  linePlot(document.querySelector("#fanout .plot"), "frames a second from one writer, over readers",
    { lines, marks, unit: "frames/s", place: Math.log, width: 1040, height: 300 });
}

function tables() {
  const section = document.getElementById("tables");
  for (const group of groups) {
    const details = element("details", {}, section);
    element("summary", {}, details, group.name);
    const table = element("table", {}, element("div", { class: "scroll" }, details));
    const head = element("tr", {}, element("thead", {}, table));
    for (const title of ["peer", "ours is better by", "median", "least – most", "cores", "samples", "who copies", "touched"]) {
      element("th", {}, head, title);
    }
    const body = element("tbody", {}, table);
    for (const row of group.rows) {
      const line = element("tr", {}, body);
      element("td", {}, line, row.mode === "copied" ? row.peer : `${row.peer} (${row.mode})`);
      const better = row.advantage;
      const text = better ? `${short(better.median, "times")}  (${short(better.least, "times")} – ${short(better.most, "times")})`
        : row.peer === OURS || row.peer.startsWith("floor") ? "" : "too few";
      element("td", { class: better ? (better.median >= 1 ? "good" : "bad") : "soft" }, line, text);
      const spread = row.spread;
      element("td", {}, line, spread ? short(spread.median, group.unit) : "too few");
      element("td", {}, line, spread ? `${short(spread.least, group.unit)} – ${short(spread.most, group.unit)}` : "");
      element("td", {}, line, row.placement || "");
      element("td", {}, line, row.samples);
      element("td", { class: "left soft" }, line, row.copies);
      element("td", { class: "left soft" }, line, row.touched);
    }
  }
}

function rules() {
  const section = document.getElementById("rules"), [rules, missing] = section.querySelectorAll("ul");
  for (const rule of run.rules) element("li", {}, rules, rule);
  for (const peer of run.peers) {
    element("dt", {}, section.querySelector("dl"), `${peer.name} ${peer.version}`);
    element("dd", {}, section.querySelector("dl"), peer.how);
  }
  for (const { peer, why } of run.missing) element("li", {}, missing, `${peer}: ${why}`);
}

for (const draw of [theme, aboutTheRun, ratios, throughput, latency, fanOut, tables, rules]) draw();
document.documentElement.dataset.drawn = "all";
