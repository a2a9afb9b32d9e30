// The server's load, asked for every two seconds while somebody looks.

import { $, ask, make, number, onLanguage, read, speak, t } from "/web/words.js";

const past = [];
let last = null;

speak();
onLanguage(() => last && show(last));
look();

async function look() {
  if (!document.hidden) {
    try {
      const row = await read(await ask("/mirim/status"));
      $("trouble").hidden = true;
      past.push(row.load.tokens_per_second);
      if (past.length > 60) past.shift();
      show((last = row));
    } catch (error) {
      $("trouble").hidden = false;
      $("trouble").textContent = error.message;
    }
  }
  setTimeout(look, 2000);
}

const seconds = (value) => (value == null ? "–" : value < 1 ? `${number(value * 1000, 0)} ms` : `${number(value)} s`);

function span(value) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [size, unit] = parts.find(([s]) => value >= s) ?? [1, "s"];
  return `${number(value / size, 0)} ${unit}`;
}

function rows(id, values) {
  $(id).replaceChildren(...values.map(([head, ...cells]) =>
    make("tr", {}, make("th", { scope: "row" }, head), ...cells.map((c) => make("td", {}, c)))));
}

function show(row) {
  const { load, lanes } = row;
  $("speed").textContent = number(load.tokens_per_second, 1);
  $("running").textContent = number(lanes.reduce((n, l) => n + l.running, 0));
  $("waiting").textContent = t("wait", number(lanes.reduce((n, l) => n + l.waiting, 0)));
  $("first").textContent = seconds(load.first_token_seconds.p50);
  $("first95").textContent = t("p95", seconds(load.first_token_seconds.p95));
  $("memory").textContent = `${number(row.resident_bytes / 2 ** 20, 0)} MiB`;
  $("uptime").textContent = t("up", span(load.uptime_seconds));
  const percentiles = (p) => ["p50", "p90", "p95", "p99"].map((k) => seconds(p[k]));
  rows("latency", [[t("firstRow"), ...percentiles(load.first_token_seconds)], [t("total"), ...percentiles(load.total_seconds)]]);
  rows("lanes", lanes.map((l) => [l.model, t("of", l.running, l.slots), t("of", l.waiting, l.queue)]));
  rows("models", row.models.map((m) => [m.id, t(m.mirim.kind === "model" ? "bareKind" : m.mirim.kind), m.mirim.context ? number(m.mirim.context) : "–"]));
  const replies = Object.entries(row.requests).sort();
  $("replies").textContent = replies.length ? replies.map(([code, n]) => `${code}: ${number(n)}`).join(" · ") : t("none");
  draw();
}

function draw() {
  const top = Math.max(1, ...past);
  const points = past.map((v, n) => `${(n / 59) * 120},${30 - (v / top) * 28}`).join(" ");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", points);
  $("spark").replaceChildren(line);
}
