// Draws the charts of a page with the Vega that datasette-dashboards brings, in the page's own colours, and keeps
// them current. Expressions are interpreted, so that the page needs no leave to run code made of text.
import { change } from "./change.js";
import { ask, attempt, page } from "./freshness.js";

const EVERY = 15000;
const main = document.getElementById("live");
const charts = document.getElementById("charts");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const figures = [...document.querySelectorAll("figure[data-chart]")];
const drawn = new Map();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const NARROW = 420;
const ENTRY = 190;

// `width` of the plot in pixels: a legend in one line would be cut on a phone, or where names are long.
const theme = (width) => ({
  background: "transparent",
  font: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif",
  view: { stroke: null },
  axis: {
    labelColor: colour("--quiet"), titleColor: colour("--quiet"), gridColor: colour("--rule"),
    domainColor: colour("--rule"), tickColor: colour("--rule"), titleFontWeight: 400, labelFontSize: 11,
  },
  // a label near an end turns inwards: in the middle of its tick it would be cut there
  axisX: { grid: false, labelFlush: 36, labelBound: true },
  legend: { labelColor: colour("--ink"), titleColor: colour("--quiet"), orient: "top", title: null, labelFontSize: 12, ...(width < NARROW ? { columns: 2, labelLimit: 110 } : { columns: Math.floor(width / ENTRY) }) },
  range: {
    category: ["--busy", "--warn", "--good", "--bad", "--violet", "--teal", "--quiet"].map(colour),
  },
  bar: { color: colour("--busy") }, line: { color: colour("--busy"), strokeWidth: 2, strokeJoin: "round" },
  area: { color: colour("--busy"), opacity: 0.35 },
});

// "@good" in a chart's definition is the page's colour of that name.
const painted = (value) => {
  if (typeof value === "string" && value.startsWith("@")) return colour(`--${value.slice(1)}`);
  if (Array.isArray(value)) return value.map(painted);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, painted(each)]));
  }
  return value;
};

// What has happened may fill a part of the span only: the charts over time show all of it, and so the same.
// In Vega's own terms, for the moments of a Vega-Lite domain are expressions, which do not get there interpreted.
const spanned = (vega) => {
  const overTime = (scale) => scale.name === "x" && ["time", "utc"].includes(scale.type);
  for (const scale of vega.scales.filter(overTime)) scale.domain = JSON.parse(charts.dataset.span);
  return vega;
};

const draw = async (figure) => {
  const text = await ask(`${figure.dataset.rows}${location.search}`);
  const shown = text + dark.matches + charts.dataset.span;
  if (drawn.get(figure) === shown) return;
  const rows = JSON.parse(text);
  const place = figure.querySelector(".plot");
  figure.classList.toggle("nothing", rows.length === 0);
  if (rows.length > 0) {
    const spec = {
      width: "container", height: 200, autosize: { type: "fit", contains: "padding" },
      ...painted(JSON.parse(figure.dataset.display)),
      description: figure.querySelector("h2").textContent,
      data: { values: rows }, config: theme(place.clientWidth),
    };
    await window.vegaEmbed(place, spec, { mode: "vega-lite", actions: false, ast: true, renderer: "svg", patch: spanned });
  }
  drawn.set(figure, shown);
};

// What is said beside the charts comes and goes with the page, as on every other one.
const say = (next, id) => {
  const said = document.getElementById(id);
  const wanted = next.getElementById(id);
  if (said && wanted) change(said, wanted);
  else if (said) said.remove();
  else if (wanted) main.prepend(document.adoptNode(wanted));
};

const renew = async () => {
  const next = await page(location.href);
  for (const id of ["quiet", "waiting-now"]) say(next, id);
  charts.dataset.span = next.getElementById("charts").dataset.span;
  for (const figure of figures) await draw(figure);
  document.getElementById("nothing").hidden = figures.some((figure) => !figure.classList.contains("nothing"));
};

const refresh = async () => {
  if (document.hidden) return;
  await attempt(renew, () => EVERY);
  document.body.dataset.drawn = String(drawn.size);
};

const loop = async () => {
  await refresh();
  setTimeout(loop, EVERY);
};

for (const choice of document.querySelectorAll("form.filters select")) {
  choice.addEventListener("change", () => choice.form.submit());
}
dark.addEventListener("change", refresh);
document.addEventListener("visibilitychange", refresh);
loop();
