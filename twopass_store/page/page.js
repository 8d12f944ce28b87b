"use strict";

const content = JSON.parse(document.getElementById("content").textContent);
const byId = (id) => document.getElementById(id);
const color = (label) => label < 1 ? "#ffffff" : content.colors[Math.min(label, content.colors.length) - 1];
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
const percent = (share, digits = 1) => share === null ? "" : `${(100 * share).toFixed(digits)}%`;
const fixed = (value, digits) => value === null || value === undefined ? "" : value.toFixed(digits);
const labels = content.clusters.map((each) => each.label);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function chip(label) {
  const made = element("span", { className: "chip" });
  made.style.background = color(label);
  return made;
}

// What is there without any library.

function showText() {
  const facts = content.facts;
  byId("heading").textContent = `${content.store}: ${content.name}`;
  const parts = [count(facts.n_frames, "frame"), count(facts.n_trajectories, "file"), count(facts.n_atoms, "atom"),
    count(facts.n_clusters_found, "cluster"), count(facts.n_leaders, "leader")];
  if (facts.recovered_share !== undefined && facts.recovered_share !== null) {
    parts.push(`${percent(facts.recovered_share)} of the subset got their first-pass label back`);
  }
  if (facts.n_beyond_noise_cutoff) parts.push(`${count(facts.n_beyond_noise_cutoff, "frame")} beyond the noise cutoff`);
  byId("facts").textContent = parts.join(" · ");
  byId("methods").textContent = content.methods;
  showTable();
}

function showTable() {
  const has = (key) => content.clusters.some((each) => each[key] !== null && each[key] !== "" && each[key] >= 0);
  const time = has("residence_ps") ? ["residence (ps)", "residence_ps"] : ["residence (frames)", "residence_frames"];
  const columns = [
    ["cluster", (each) => [chip(each.label), ` ${each.label}`]],
    ["frames", (each) => [each.n_frames.toLocaleString("en")]],
    ["share", (each) => [percent(each.share) + (each.share_error === null ? "" : ` ± ${percent(each.share_error)}`)]],
    ["runs", (each) => [String(each.n_runs)]],
    ["mean RMSD to leader (nm)", (each) => [fixed(each.rmsd_mean_nm, 4)]],
    ["faithful", (each) => [percent(each.faithfulness)], has("faithfulness")],
    ["visits", (each) => [each.n_visits.toLocaleString("en")]],
    [time[0], (each) => [fixed(each[time[1]], 2)]],
    ["medoid: file", (each) => [each.medoid_path], true, "text file"],
    ["frame in it", (each) => [String(each.medoid_source_frame)]],
    ["time (ps)", (each) => [fixed(each.medoid_time_ps, 1)], has("medoid_time_ps")],
  ].filter((column) => column[2] !== false);
  const head = element("tr", {}, ...columns.map((column) => element("th", { scope: "col", className: column[3] || "" }, column[0])));
  const rows = content.clusters.map((each) => element("tr", {}, ...columns.map((column, index) => {
    const cell = element(index ? "td" : "th", { className: column[3] || "" }, ...column[1](each));
    if (!index) cell.scope = "row";
    if (column[3]) cell.title = each.medoid_path;
    return cell;
  })));
  byId("clusters").append(element("thead", {}, head), element("tbody", {}, ...rows));
}

// Plots.

function caption(id, text) { byId(`${id}-caption`).textContent = text; }

function variable(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

function layout(more) {
  const ink = variable("--ink"), line = variable("--line");
  const axis = { gridcolor: line, zeroline: false, linecolor: line, automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 12 }, bargap: 0.15,
    margin: { l: 56, r: 12, t: 12, b: 48 }, hovermode: "closest", showlegend: false, ...more,
    xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis },
  };
}

function draw(id, traces, more) {
  return Plotly.react(id, traces, layout(more), { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] });
}

function colorscale(values) {
  return values.flatMap((value, index) => [[index / values.length, value], [(index + 1) / values.length, value]]);
}

const plots = {
  map() {
    const map = content.map;
    if (!map) return byId("s-map").remove();
    const traces = labels.map((label) => {
      const here = map.label.flatMap((each, index) => each === label ? [index] : []);
      return {
        type: "scattergl", mode: "markers", name: `cluster ${label}`, customdata: here,
        x: here.map((index) => map.xy[index][0]), y: here.map((index) => map.xy[index][1]),
        text: here.map((index) => `frame ${map.frame[index]}`), hovertemplate: "%{text}<extra>%{fullData.name}</extra>",
        marker: { color: color(label), size: 6, opacity: 0.8 },
      };
    });
    traces.push({
      type: "scatter", mode: "markers", name: "shown", hoverinfo: "skip",
      x: chosen === null ? [] : [map.xy[chosen][0]], y: chosen === null ? [] : [map.xy[chosen][1]],
      marker: { symbol: "circle-open", size: 16, color: variable("--ink"), line: { width: 3 } },
    });
    draw("map", traces, { xaxis: { title: { text: "nm" } }, yaxis: { title: { text: "nm" }, scaleanchor: "x" } });
    const shown = map.frame.length < map.n_subset ? `${map.frame.length.toLocaleString("en")} of the ` : "The ";
    caption("map", `${shown}${count(map.n_subset, "subset frame")}, as far apart as their RMSDs as nearly as a plane `
      + `can show (classical multidimensional scaling): it holds ${percent(map.share, 0)} of the variance, so frames that lie `
      + "together here may still differ. Click a point, or choose a frame, to see its structure above.");
  },
  timeline() {
    const timeline = content.timeline, most = content.colors.length;
    const traces = timeline.runs.map((run, row) => ({
      type: "heatmap", x: run.time, y: [run.name || "run"], z: [run.label.map((label) => label < 1 ? null : Math.min(label, most))],
      customdata: [run.label], zmin: 0.5, zmax: most + 0.5, colorscale: colorscale(content.colors), showscale: false,
      hovertemplate: `${timeline.has_times ? "%{x} ps" : "frame %{x}"}: cluster %{customdata}<extra></extra>`,
    }));
    byId("timeline").style.height = `${Math.max(120, 70 + 26 * timeline.runs.length)}px`;
    draw("timeline", traces, {
      xaxis: { title: { text: timeline.has_times ? "time (ps)" : "frame" }, showgrid: false },
      yaxis: { autorange: "reversed", showgrid: false, type: "category", visible: timeline.runs.length > 1 },
    });
    const stride = Math.max(...timeline.runs.map((run) => run.stride));
    caption("timeline", (stride > 1 ? `One of ${stride.toLocaleString("en")} frames of the longest run is shown, so short visits are missing. ` : "Every frame is shown. ")
      + (timeline.runs.length < timeline.n_runs ? `${timeline.runs.length} of ${timeline.n_runs} runs are shown. ` : "")
      + "Gaps are frames without a label. Colours are those of the table.");
  },
  populations() {
    const errors = content.clusters.map((each) => each.share_error === null ? 0 : 100 * each.share_error);
    const known = errors.some((each) => each > 0);
    draw("populations", [{
      type: "bar", x: labels, y: content.clusters.map((each) => 100 * each.share), marker: { color: labels.map(color) },
      error_y: { type: "data", array: errors, visible: known, color: variable("--ink") },
      hovertemplate: "cluster %{x}: %{y:.2f}%<extra></extra>",
    }], { xaxis: { title: { text: "cluster" }, dtick: labels.length > 30 ? null : 1 }, yaxis: { title: { text: "share of all frames (%)" } } });
    caption("populations", known ? "Bars of error are standard errors by bootstrap over runs."
      : "A single run tells nothing of the error of these shares, so no bars of error are drawn.");
  },
  transitions() {
    const found = content.transitions, size = found.count.length;
    const numbers = Array.from({ length: size }, (_, index) => String(index + 1));
    draw("transitions", [{
      type: "heatmap", x: numbers, y: numbers, z: found.probability, zmin: 0, zmax: 1, colorscale: [[0, variable("--paper")], [1, variable("--fill")]],
      customdata: found.count, texttemplate: size <= 12 ? "%{z:.2f}" : "", colorbar: { title: { text: "probability", side: "right" }, thickness: 12 },
      hovertemplate: "from %{y} to %{x}: %{z:.3f} (%{customdata} counts)<extra></extra>",
    }], { xaxis: { title: { text: "to cluster" }, type: "category" }, yaxis: { title: { text: "from cluster" }, type: "category", autorange: "reversed" } });
    caption("transitions", `The share of frames of each row that are in the column's cluster ${count(found.lag, "frame")} later, within runs and without `
      + "gaps. Windows overlap, so the counts are not independent.");
  },
  rmsd() {
    const { edges, counts, cutoff } = content.rmsd, width = edges[1] - edges[0];
    const traces = counts.map((row, label) => ({
      type: "bar", name: label ? `cluster ${label}` : "no label", x: edges.slice(0, -1).map((edge) => edge + width / 2), y: row,
      width, marker: { color: color(label), line: { color: "#777", width: label ? 0 : 1 } }, hovertemplate: "%{x:.3f} nm: %{y} frames<extra>%{fullData.name}</extra>",
    })).filter((trace) => trace.y.some((each) => each > 0));
    const line = variable("--ink");
    draw("rmsd", traces, {
      barmode: "stack", bargap: 0, xaxis: { title: { text: "RMSD to the nearest leader (nm)" } }, yaxis: { title: { text: "frames" } },
      shapes: cutoff ? [{ type: "line", x0: cutoff, x1: cutoff, y0: 0, y1: 1, yref: "paper", line: { color: line, dash: "dash" } }] : [],
    });
    caption("rmsd", cutoff ? `Frames beyond the noise cutoff of ${cutoff} nm (dashed) have no label.`
      : "All frames. No noise cutoff was set: a long tail is of frames that no leader is like.");
  },
  tree() {
    const tree = content.tree;
    if (!tree) return byId("s-tree").remove();
    const ink = variable("--ink");
    const traces = tree.x.map((x, index) => ({ type: "scatter", mode: "lines", x, y: tree.height[index], line: { color: ink, width: 1.5 }, hovertemplate: "%{y:.4f}<extra></extra>" }));
    const top = Math.max(...tree.height.flat());
    const at = tree.label.map((_, index) => 5 + 10 * index);
    traces.push({ type: "scatter", mode: "markers", x: at, y: at.map(() => 0), marker: { color: tree.label.map(color), size: 12 },
      text: tree.label.map((label, index) => `cluster ${label}: ${count(tree.n_frames[index], "subset frame")}`), hovertemplate: "%{text}<extra></extra>", cliponaxis: false });
    draw("tree", traces, {
      xaxis: { tickvals: at, ticktext: tree.label.map(String), showgrid: false, title: { text: "cluster" } },
      yaxis: { title: { text: tree.is_rmsd ? "height (nm)" : "height" }, range: [-0.06 * top, 1.06 * top] },
    });
    caption("tree", `The tree above the cut, one leaf a cluster. ${tree.is_rmsd ? "A height is the RMSD between what is merged, as the linkage measures it." : "With this linkage a height is no RMSD."}`);
  },
  scan() {
    const scan = content.scan;
    if (!scan) return byId("s-scan").remove();
    const names = { silhouette: "silhouette", stability: "stability", davies_bouldin: "Davies–Bouldin" };
    const traces = Object.entries(names).map(([key, name], index) => ({
      type: "scatter", mode: "lines+markers", name, x: scan.n_clusters, y: scan[key],
      line: { color: content.colors[index], dash: ["solid", "dash", "dot"][index] }, marker: { symbol: ["circle", "square", "diamond"][index] },
    }));
    const ink = variable("--ink");
    draw("scan", traces, {
      showlegend: true, legend: { orientation: "h", y: 1.12 }, xaxis: { title: { text: "clusters" } }, yaxis: { title: { text: "figure" } }, margin: { l: 56, r: 12, t: 36, b: 48 },
      shapes: scan.suggested ? [{ type: "line", x0: scan.suggested, x1: scan.suggested, y0: 0, y1: 1, yref: "paper", line: { color: ink, dash: "dash" } }] : [],
    });
    caption("scan", `High silhouette and stability are good, and a low Davies–Bouldin index. Suggested: ${scan.suggested} (dashed); ${scan.reason}.`);
  },
  convergence() {
    const found = content.convergence;
    if (!found || found.stride.length < 2) return byId("s-convergence").remove();
    const traces = labels.map((label, index) => ({
      type: "scatter", mode: "lines+markers", name: `cluster ${label}`, x: found.stride, y: found.share.map((row) => row[index] === null ? null : 100 * row[index]),
      line: { color: color(label) }, hovertemplate: "stride %{x}: %{y:.1f}%<extra>%{fullData.name}</extra>",
    }));
    draw("convergence", traces, { xaxis: { title: { text: "stride of the first pass" }, tickvals: found.stride }, yaxis: { title: { text: "share of the subset (%)" }, rangemode: "tozero" } });
    const agree = found.stride.slice(1).map((stride, index) => `${fixed(found.stride_adjusted_rand[index + 1], 2)} at stride ${stride}`).join(", ");
    caption("convergence", `The first pass repeated on every 2nd and 4th of its frames. Flat lines mean that a coarser stride finds the same clusters. Adjusted Rand index with the labels used: ${agree}.`);
  },
};

function drawAll() { Object.values(plots).forEach((plot) => plot()); }

async function start() {
  // What needs no library is on the screen before the libraries take their time.
  await painted();
  startPlots();
  await painted();
  await startViewer();
}

function painted() { return new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)); }); }

function startPlots() {
  const script = element("script");
  script.textContent = byId("plotly-source").textContent;
  document.head.append(script);
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  if (content.map) startFrames();
}

// The frame of the map that is shown in 3-D: its place among the points, or null.

let chosen = null;

function startFrames() {
  const select = byId("frame"), order = content.map.frame.map((_, index) => index);
  select.append(element("option", { value: "" }, "none"), ...order.map((index) =>
    element("option", { value: String(index) }, `${content.map.frame[index]} (cluster ${content.map.label[index]})`)));
  const step = (by) => choose(chosen === null ? (by > 0 ? 0 : order.length - 1) : (chosen + by + order.length) % order.length);
  select.addEventListener("change", () => choose(select.value === "" ? null : Number(select.value)));
  byId("next").addEventListener("click", () => step(1));
  byId("previous").addEventListener("click", () => step(-1));
  byId("map").on("plotly_click", (event) => choose(event.points[0].customdata));
}

function choose(index) {
  chosen = index;
  byId("frame").value = index === null ? "" : String(index);
  plots.map();
  showStructures(true);
}

// Structures.

let viewer = null;

function positions() {
  const bytes = Uint8Array.from(atob(content.structures.positions), (each) => each.charCodeAt(0));
  return new Int16Array(bytes.buffer);
}

function pdb(index) {
  const { n_atoms } = content.structures;
  let atom = index * n_atoms * 3;
  return content.structures.pdb.split("\n").map((line) => {
    if (!/^(ATOM|HETATM)/.test(line)) return line;
    const xyz = [0, 1, 2].map((axis) => (viewer.positions[atom + axis] / 100).toFixed(3).padStart(8)).join("");
    atom += 3;
    return line.slice(0, 30) + xyz + line.slice(54);
  }).join("\n");
}

function structureNode(index, shade, thick) {
  const representation = (type, selector) => ({ kind: "component", params: { selector }, children: [{ kind: "representation", params: { type }, children: [{ kind: "color", params: { color: shade } }] }] });
  const shown = content.structures.is_polymer
    ? [representation("cartoon", "polymer"), representation("ball_and_stick", "ligand"), ...(thick ? [representation("ball_and_stick", "polymer")] : [])]
    : [representation("ball_and_stick", "all")];
  const url = `data:text/plain;base64,${btoa(pdb(index))}`;
  return { kind: "download", params: { url }, children: [{ kind: "parse", params: { format: "pdb" }, children: [{ kind: "structure", params: { type: "model" }, children: shown }] }] };
}

function showStructures(keepCamera) {
  if (!viewer) return;
  const on = [...document.querySelectorAll("#switches input:checked")].map((each) => Number(each.value));
  const children = on.map((label) => structureNode(label - 1, color(label), false));
  const several = content.structures.n_medoids;
  let text = `Medoids, superposed by the atoms of the RMSD: ${on.length} of ${several}.`;
  if (chosen !== null) {
    const label = content.map.label[chosen];
    children.push(structureNode(several + chosen, "#7f7f7f", true));
    text += ` In grey with sticks: frame ${content.map.frame[chosen]} of the store, cluster ${label}.`;
  }
  if (content.structures.left_out) text += ` Shown are ${content.structures.left_out}.`;
  byId("viewer-caption").textContent = `${text} Drag to turn, scroll to zoom.`;
  viewer.set({ keepCamera, state: { kind: "single", metadata: { version: "1.4", timestamp: "2000-01-01T00:00:00Z" }, root: { kind: "root", children } } });
}

function startSwitches() {
  for (let index = 0; index < content.structures.n_medoids; index += 1) {
    const label = index + 1, each = content.clusters.find((cluster) => cluster.label === label);
    const input = element("input", { type: "checkbox", value: String(label), checked: index < 3 });
    input.addEventListener("change", () => showStructures(true));
    byId("switches").append(element("label", {}, input, chip(label), `${label}: ${each ? percent(each.share) : ""}`));
  }
}

async function startViewer() {
  startSwitches();
  // Mol* comes as a widget: it asks a model for its settings, and is told when they change.
  const heard = {}, settings = {
    width: "100%", height: "100%", msvj_data: "", mvs_load_options: { replaceExisting: true, keepCamera: false },
    viewer_options: {
      extensions: ["mvs"], layoutIsExpanded: false, layoutShowControls: false, layoutShowSequence: false, layoutShowLog: false,
      viewportShowExpand: false, viewportShowSelectionMode: false, viewportShowAnimation: false, viewportShowTrajectoryControls: false,
      viewportShowSettings: false, viewportShowControls: false,
    },
  };
  const model = { get: (key) => settings[key], set: () => {}, save_changes: () => {}, on: (key, call) => { heard[key] = call; } };
  viewer = {
    positions: positions(),
    set({ keepCamera, state }) {
      settings.mvs_load_options = { replaceExisting: true, keepCamera };
      settings.msvj_data = JSON.stringify(state);
      if (heard["change:msvj_data"]) heard["change:msvj_data"]();
    },
  };
  showStructures(false);
  try {
    const source = byId("molstar-source").textContent;
    const module = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    module.default.render({ model, el: byId("viewer") });
  } catch (error) {
    byId("viewer").append(element("p", {}, `The 3-D view can't be shown: ${error}. It needs WebGL.`));
  }
}

showText();
