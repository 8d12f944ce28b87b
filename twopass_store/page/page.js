"use strict";

const content = JSON.parse(document.getElementById("content").textContent);
const byId = (id) => document.getElementById(id);
const color = (label) => label < 1 ? "#ffffff" : content.colors[Math.min(label, most) - 1];
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
const percent = (share, digits = 1) => share === null ? "" : `${(100 * share).toFixed(digits)}%`;
const fixed = (value, digits) => value === null || value === undefined ? "" : value.toFixed(digits);
const labels = content.clusters.map((each) => each.label);
const most = content.colors.length; // the last colour is of all clusters beyond the others
const groups = labels.slice(0, most);
const groupName = (label) => label < most || labels.length <= most ? `cluster ${label}` : `clusters from ${most}`;
const noun = content.representative;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function firstPass(index) {
  const label = content.map.label[index];
  return label < 1 ? "noise" : `cluster ${label}`;
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
    count(content.clusters.length, "cluster"), count(facts.n_leaders, "leader")];
  if (facts.rule) parts.push(facts.rule);
  if (facts.recovered_share !== undefined && facts.recovered_share !== null) {
    parts.push(`${percent(facts.recovered_share)} of the ${facts.n_subset_noise ? "clustered " : ""}subset got their first-pass label back`);
  }
  if (facts.cover) parts.push(facts.cover);
  if (facts.n_beyond_noise_cutoff) parts.push(`${count(facts.n_beyond_noise_cutoff, "frame")} without a label`);
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
    [time[0], (each) => [fixed(each[time[1]], 2)], has(time[1])],
    [`${noun}: file`, (each) => [each.medoid_path], true, "text file"],
    [noun === "leader" ? "model (from 0)" : "frame (from 0)", (each) => [String(each.medoid_source_frame)]],
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
  caption("clusters", (has("share_error") ? "±: standard error by bootstrap over runs. " : "")
    + (has("faithfulness") ? "Faithful: share of a cluster's first-pass frames that get its label from the leaders. " : "")
    + (has(time[1]) ? "Residence: time in all visits by departures seen." : "")
    + (labels.length > most ? ` Clusters from ${most} on share the colour grey in all pictures.` : ""));
}

// Plots.

function caption(id, text) { byId(`${id}-caption`).textContent = text; }

const darkness = matchMedia("(prefers-color-scheme: dark)");

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
  const box = byId(id);
  box.setAttribute("role", "group");
  box.setAttribute("aria-labelledby", `h-${id}`);
  box.setAttribute("aria-describedby", `${id}-caption`);
  // Buttons by name: plotly's own choice has one that uploads the data.
  return Plotly.react(id, traces, layout(more), { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "resetScale2d"]] });
}

function colorscale(values) {
  return values.flatMap((value, index) => [[index / values.length, value], [(index + 1) / values.length, value]]);
}

const plots = {
  map() {
    const map = content.map;
    if (!map) return byId("s-map").remove();
    const noise = map.label.some((label) => label < 1) ? [-1] : [];
    const traces = [...noise, ...groups].map((label) => {
      const here = map.label.flatMap((each, index) => Math.min(each, most) === label ? [index] : []);
      return {
        type: "scattergl", mode: "markers", customdata: here,
        x: here.map((index) => map.xy[index][0]), y: here.map((index) => map.xy[index][1]),
        text: here.map((index) => `frame ${map.frame[index]}, ${firstPass(index)}`), hovertemplate: "%{text}<extra></extra>",
        marker: { color: color(label), size: 6, opacity: 0.8, line: { color: "#777", width: label < 1 ? 1 : 0 } },
      };
    });
    traces.push({
      type: "scatter", mode: "markers", hoverinfo: "skip",
      x: chosen === null ? [] : [map.xy[chosen][0]], y: chosen === null ? [] : [map.xy[chosen][1]],
      marker: { symbol: "circle-open", size: 16, color: variable("--ink"), line: { width: 3 } },
    });
    draw("map", traces, { xaxis: { title: { text: "first coordinate (nm)" }, automargin: false }, yaxis: { title: { text: "second coordinate (nm)" }, scaleanchor: "x", automargin: false } });
    const shown = map.frame.length < map.n_subset ? `${map.frame.length.toLocaleString("en")} of the ` : "The ";
    caption("map", `${shown}${count(map.n_subset, "subset frame")}, as far apart as their RMSDs as nearly as a plane `
      + `can show (classical multidimensional scaling): it holds ${percent(map.share, 0)} of the variance, so frames that lie `
      + `together here may still differ.${noise.length ? " White: noise of the first pass." : ""} Click a point, or choose a frame, to see its structure above.`);
  },
  timeline() {
    const timeline = content.timeline, several = timeline.runs.length > 1;
    const traces = timeline.runs.map((run, row) => ({
      type: "heatmap", x: run.time, y: [row], z: [run.label.map((label) => label < 1 ? null : Math.min(label, most))],
      customdata: [run.label], zmin: 0.5, zmax: most + 0.5, colorscale: colorscale(content.colors), showscale: false,
      hovertemplate: `${timeline.has_times ? "%{x} ps" : "frame %{x}"}: cluster %{customdata}<extra>${several ? run.name : ""}</extra>`,
    }));
    byId("timeline").style.height = `${Math.max(120, 70 + 26 * timeline.runs.length)}px`;
    draw("timeline", traces, {
      xaxis: { title: { text: timeline.has_times ? "time (ps)" : "frame" }, showgrid: false },
      yaxis: { range: [timeline.runs.length - 0.5, -0.5], showgrid: false, visible: several, tickvals: traces.map((_, row) => row), ticktext: timeline.runs.map((run) => run.brief) },
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
    }], { xaxis: { title: { text: "cluster" }, dtick: labels.length > 15 ? null : 1 }, yaxis: { title: { text: "share of all frames (%)" } } });
    caption("populations", known ? "Error bars are standard errors by bootstrap over runs."
      : "A single run tells nothing of the error of these shares, so no error bars are drawn.");
  },
  transitions() {
    const found = content.transitions, size = found.count.length;
    const probability = found.count.map((row) => {
      const sum = row.reduce((one, other) => one + other, 0);
      return row.map((each) => sum ? each / sum : null);
    });
    const numbers = Array.from({ length: size }, (_, index) => String(index + 1));
    draw("transitions", [{
      type: "heatmap", x: numbers, y: numbers, z: probability, zmin: 0, zmax: 1, colorscale: [[0, variable("--paper")], [1, variable("--fill")]],
      customdata: found.count, text: probability.map((row) => row.map((each) => size <= 12 && each >= 0.005 ? each.toFixed(2) : "")), texttemplate: "%{text}", colorbar: { title: { text: "probability", side: "right" }, thickness: 12 },
      hovertemplate: "from %{y} to %{x}: %{z:.3f} (%{customdata} counts)<extra></extra>",
    }], { xaxis: { title: { text: "to cluster" }, type: "category" }, yaxis: { title: { text: "from cluster" }, type: "category", autorange: "reversed" } });
    caption("transitions", `The share of frames of each row that are in the column's cluster ${count(found.lag, "frame")} later, within runs and without `
      + "gaps. Windows overlap, so the counts are not independent. A row without counts is empty.");
  },
  rmsd() {
    const { edges, counts, cutoff } = content.rmsd, width = edges[1] - edges[0];
    const rows = counts.slice(0, most + 1).map((row, label) => label < most ? row
      : row.map((_, bin) => counts.slice(most).reduce((sum, each) => sum + each[bin], 0)));
    const traces = rows.map((row, label) => ({
      type: "bar", name: label ? groupName(label) : "no label", x: edges.slice(0, -1).map((edge) => edge + width / 2), y: row,
      width, marker: { color: color(label), line: { color: "#777", width: label ? 0 : 1 } }, hovertemplate: "%{x:.3f} nm: %{y} frames<extra>%{fullData.name}</extra>",
    })).filter((trace) => trace.y.some((each) => each > 0));
    const line = variable("--ink");
    draw("rmsd", traces, {
      barmode: "stack", bargap: 0, xaxis: { title: { text: "RMSD to the leader (nm)" } }, yaxis: { title: { text: "frames" } },
      shapes: cutoff ? [{ type: "line", x0: cutoff, x1: cutoff, y0: 0, y1: 1, yref: "paper", line: { color: line, dash: "dash" } }] : [],
    });
    caption("rmsd", cutoff ? `Frames beyond the noise cutoff of ${Number(cutoff.toPrecision(6))} nm (dashed) have no label (white).`
      : "All frames. No noise cutoff was set: a long tail is of frames that no leader is like.");
    if (content.map) byId("rmsd-caption").append(" Leaders are frames too, at 0.");
  },
  tree() {
    const tree = content.tree;
    if (!tree) return byId("s-tree").remove();
    const ink = variable("--ink");
    const traces = tree.x.map((x, index) => ({ type: "scatter", mode: "lines", x, y: tree.height[index], line: { color: ink, width: 1.5 }, hovertemplate: "%{y:.4f}<extra></extra>" }));
    const named = (label) => tree.label.length <= 25 || label < most; // more would lie on each other
    const top = Math.max(...tree.height.flat());
    const at = tree.label.map((_, index) => 5 + 10 * index);
    traces.push({ type: "scatter", mode: "markers", x: at, y: at.map(() => 0), marker: { color: tree.label.map(color), size: 12 },
      text: tree.label.map((label, index) => `cluster ${label}: ${count(tree.n_frames[index], "subset frame")}`), hovertemplate: "%{text}<extra></extra>", cliponaxis: false });
    draw("tree", traces, {
      xaxis: { tickvals: at.filter((_, index) => named(tree.label[index])), ticktext: tree.label.filter(named).map(String), showgrid: false, title: { text: "cluster" } },
      yaxis: { title: { text: tree.is_rmsd ? "height (nm)" : "height" }, range: [-0.06 * top, 1.06 * top] },
    });
    caption("tree", `The tree above the cut, one leaf a cluster. ${tree.is_rmsd ? "A height is the RMSD between what is merged, as the linkage measures it." : "With this linkage a height is not an RMSD."} What is below the cut is left out.`);
  },
  scan() {
    const scan = content.scan;
    if (!scan) return byId("s-scan").remove();
    const names = { silhouette: "silhouette", stability: "stability", davies_bouldin: "Davies–Bouldin" };
    const traces = Object.entries(names).map(([key, name], index) => ({
      type: "scatter", mode: "lines+markers", name, x: scan.n_clusters, y: scan[key], yaxis: ["y", "y2", "y3"][index],
      line: { color: variable("--ink"), width: 1.5 }, hovertemplate: `%{x} clusters: %{y:.3f}<extra>${name}</extra>`,
    }));
    const upright = (x, dash) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper", line: { color: variable("--accent"), dash } });
    const used = content.facts.n_clusters_found, inside = scan.n_clusters.includes(used), axis = { gridcolor: variable("--line"), zeroline: false, nticks: 4, automargin: true };
    draw("scan", traces, {
      xaxis: { title: { text: "clusters" }, anchor: "y3" },
      yaxis: { title: { text: "silhouette" }, domain: [0.7, 1], nticks: 4 }, yaxis2: { ...axis, title: { text: "stability" }, domain: [0.35, 0.65] },
      yaxis3: { ...axis, title: { text: "Davies–<br>Bouldin" }, domain: [0, 0.3] },
      shapes: [...(scan.suggested ? [upright(scan.suggested, "dash")] : []), ...(inside ? [upright(used, "dot")] : [])],
    });
    caption("scan", "High silhouette and stability are good, and a low Davies–Bouldin index. "
      + (scan.suggested ? `Suggested: ${scan.suggested} clusters (dashed line); ${scan.reason}. ` : "") + `Used: ${used}${inside ? " (dotted line)" : ""}.`);
  },
  convergence() {
    const found = content.convergence;
    if (!found || found.stride.length < 2) return byId("s-convergence").remove();
    const shown = groups.slice(0, most - 1);
    const traces = shown.map((label, index) => ({
      type: "scatter", mode: "lines+markers+text", name: `cluster ${label}`, text: found.stride.map((_, place) => place === (index % 2 ? found.stride.length - 1 : 0) ? String(label) : ""), textposition: index % 2 ? "middle right" : "middle left", cliponaxis: false, x: found.stride, y: found.share.map((row) => row[index] === null ? null : 100 * row[index]),
      line: { color: color(label) }, hovertemplate: "stride %{x}: %{y:.1f}%<extra>%{fullData.name}</extra>",
    }));
    draw("convergence", traces, { xaxis: { title: { text: "stride of the first pass" }, tickvals: found.stride, range: [0.8 * found.stride[0], 1.06 * found.stride.at(-1)] }, yaxis: { title: { text: "share of the subset (%)" }, rangemode: "tozero" } });
    const agree = found.stride.slice(1).map((stride, index) => `${fixed(found.stride_adjusted_rand[index + 1], 2)} at stride ${stride}`).join(", ");
    caption("convergence", `The first pass repeated on ${found.stride.length > 2 ? "every 2nd and 4th" : "every 2nd"} of its frames${labels.length > shown.length ? `; the ${shown.length} largest clusters are shown` : ""}. Flat lines mean that a coarser stride finds the same clusters; a line ends where it finds none like it. Adjusted Rand index with the labels used: ${agree}.`);
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
  darkness.addEventListener("change", () => { drawAll(); showStructures(true); });
  if (content.map) startFrames();
}

// The frame of the map that is shown in 3-D: its place among the points, or null.

let chosen = null;

function startFrames() {
  const select = byId("frame"), order = content.map.frame.map((_, index) => index);
  select.append(element("option", { value: "" }, "none"), ...order.map((index) =>
    element("option", { value: String(index) }, `${content.map.frame[index]} (${firstPass(index)})`)));
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
  const representation = (type, selector) => ({ kind: "component", params: { selector }, children: [{ kind: "representation", params: type === "cartoon" ? { type } : { type, size_factor: 0.6 }, children: [{ kind: "color", params: { color: shade } }] }] });
  const shown = content.structures.is_polymer
    ? [representation("cartoon", "polymer"), representation("ball_and_stick", "ligand"), ...(thick ? [representation("ball_and_stick", "polymer")] : [])]
    : [representation("ball_and_stick", "all")];
  const url = `data:text/plain;base64,${btoa(pdb(index))}`;
  return { kind: "download", params: { url }, children: [{ kind: "parse", params: { format: "pdb" }, children: [{ kind: "structure", params: { type: "model" }, children: shown }] }] };
}

function showStructures(keepCamera) {
  if (!viewer) return;
  const on = [...document.querySelectorAll("#switches input:checked")].map((each) => Number(each.value));
  const canvas = { kind: "canvas", params: { background_color: variable("--paper") } };
  const children = on.map((label) => structureNode(label - 1, color(label), false));
  const several = content.structures.n_medoids;
  let text = `${on.length} of ${count(several, noun)}, superposed as they were compared.`;
  if (chosen !== null) {
    children.push(structureNode(several + chosen, variable("--ink"), true));
    text += ` In ${darkness.matches ? "white" : "black"}${content.structures.is_polymer ? " with sticks" : ""}: frame ${content.map.frame[chosen]} of the store, ${firstPass(chosen)}.`;
  }
  if (content.structures.left_out) text += ` Shown are ${content.structures.left_out}.`;
  byId("viewer-caption").textContent = `${text} Drag to turn, scroll to zoom.`;
  viewer.set({ keepCamera, state: { kind: "single", metadata: { version: "1.4", timestamp: "2000-01-01T00:00:00Z" }, root: { kind: "root", children: [canvas, ...children] } } });
}

function startSwitches() {
  for (let index = 0; index < content.structures.n_medoids; index += 1) {
    const label = index + 1, each = content.clusters.find((cluster) => cluster.label === label);
    const input = element("input", { type: "checkbox", value: String(label), checked: index < 3 });
    input.addEventListener("change", () => showStructures(true));
    input.setAttribute("aria-label", `${noun} of cluster ${label}`);
    byId("switches").append(element("label", {}, input, chip(label), `${label}: ${each ? percent(each.share) : ""}`));
  }
}

async function startViewer() {
  if (!content.map) byId("switches").firstElementChild.textContent = "Leaders";
  startSwitches();
  // Mol* comes as a widget: it asks a model for its settings, and is told when they change.
  // It first asks for the options of loading when it is ready; told of a change before, it fails.
  let ready = false;
  const heard = {}, settings = {
    width: "100%", height: "100%", msvj_data: "", mvs_load_options: { replaceExisting: true, keepCamera: false },
    viewer_options: {
      extensions: ["mvs"], layoutIsExpanded: false, layoutShowControls: false, layoutShowSequence: false, layoutShowLog: false,
      viewportShowExpand: false, viewportShowSelectionMode: false, viewportShowAnimation: false, viewportShowTrajectoryControls: false,
      viewportShowSettings: false, viewportShowControls: false,
    },
  };
  const model = { get(key) { ready ||= key === "mvs_load_options"; return settings[key]; }, set: () => {}, save_changes: () => {}, on: (key, call) => { heard[key] = call; } };
  viewer = {
    positions: positions(),
    set({ keepCamera, state }) {
      settings.mvs_load_options = { replaceExisting: true, keepCamera: ready && keepCamera };
      settings.msvj_data = JSON.stringify(state);
      if (ready) heard["change:msvj_data"]();
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
