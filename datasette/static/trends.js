// Draws the charts of a page with the Vega that datasette-dashboards brings, in the page's own colours, and keeps
// them current. Expressions are interpreted, so that the page needs no leave to run code made of text.
(() => {
  "use strict";
  const EVERY = 15000;
  const DEADLINE = 8000;
  const note = document.getElementById("freshness");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const figures = [...document.querySelectorAll("figure[data-chart]")];
  const drawn = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const NARROW = 420;

  // `width` of the plot in pixels: a legend in one line would be cut on a phone.
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
    legend: { labelColor: colour("--ink"), titleColor: colour("--quiet"), orient: "top", title: null, labelFontSize: 12, columns: width < NARROW ? 2 : 0 },
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

  const draw = async (figure) => {
    const url = `${figure.dataset.rows}${location.search}`;
    const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(DEADLINE) });
    if (!answer.ok) throw new Error(`the dashboard answered ${answer.status}`);
    const text = await answer.text();
    const shown = text + dark.matches;
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
      await window.vegaEmbed(place, spec, { mode: "vega-lite", actions: false, ast: true, renderer: "svg" });
    }
    drawn.set(figure, shown);
  };

  const refresh = async () => {
    if (document.hidden) return;
    try {
      for (const figure of figures) await draw(figure);
      document.getElementById("nothing").hidden = figures.some((figure) => !figure.classList.contains("nothing"));
      note.textContent = "Live";
      note.classList.remove("stale");
    } catch (error) {
      const silent = error instanceof TypeError || error.name === "TimeoutError";
      note.textContent = `Not current: ${silent ? "the dashboard does not answer" : error.message}`;
      note.classList.add("stale");
    }
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
})();
