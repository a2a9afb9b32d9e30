// The conversation: streaming answers, their sources, what people think of them.

import { $, ask, icon, make, named, number, onLanguage, read, saying, speak, t, told, tongue } from "/web/words.js";

const UP = "M7 11v8H4v-8zM7 11l4-7c1.500 0 2.500 1 2.300 2.700L12.800 10H18a2 2 0 0 1 2 2.300l-1 5A2 2 0 0 1 17 19H7";
const DOWN = "M7 13V5H4v8zM7 13l4 7c1.500 0 2.500-1 2.300-2.700L12.800 14H18a2 2 0 0 0 2-2.300l-1-5A2 2 0 0 0 17 5H7";
const COPY = "M9 9h10v11H9zM5 15V4h10";

let models = [];
let turns = []; // {role, content, model, extra, id}
let running = null;
const field = $("question");

speak();
onLanguage(() => { fillModels($("model").value); describe(); });
restore();
start();

async function start() {
  $("unready")?.remove();
  try {
    models = (await read(await ask("/v1/models"))).data;
    fillModels(sessionStorage.getItem("mirim.model"));
    describe();
  } catch (error) {
    $("said").textContent = error.message;
    $("log").append(make("li", { class: "trouble", id: "unready" }, error.message));
  }
  field.focus();
}

/** The conversation stays in its tab: over a reload, a look at the load, a phone that let the page go. */
function keep() {
  try {
    sessionStorage.setItem("mirim.turns", JSON.stringify(turns));
  } catch {
    sessionStorage.removeItem("mirim.turns"); // too long to be kept; an older one would be another conversation
  }
}

function restore() {
  turns = JSON.parse(sessionStorage.getItem("mirim.turns") ?? "[]");
  // A question that was not answered any more can be asked again.
  if (turns.at(-1)?.role === "user") field.value = turns.pop().content;
  grow();
  for (const turn of turns) {
    if (turn.role === "user") showQuestion(turn.content);
    else dress(showAnswer(turn.model, written(turn)), turn);
  }
  $("welcome").hidden = turns.length > 0;
  $("export").disabled = !turns.length;
  document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight;
}

function fillModels(chosen) {
  const groups = [["assistants", (m) => m.mirim.grounded], ["bareModels", (m) => !m.mirim.grounded]];
  $("model").replaceChildren(
    ...groups.flatMap(([label, belongs]) => {
      const found = models.filter(belongs);
      if (!found.length) return [];
      return [make("optgroup", { label: t(label) }, ...found.map((m) => make("option", { value: m.id }, m.id)))];
    }),
  );
  if (models.some((m) => m.id === chosen)) $("model").value = chosen;
}

const grounded = () => models.find((m) => m.id === $("model").value)?.mirim.grounded;

function describe() {
  const text = document.querySelector("[data-t=promise], [data-t=bare]");
  text.dataset.t = grounded() === false ? "bare" : "promise";
  text.textContent = t(text.dataset.t);
}

$("model").addEventListener("change", () => {
  sessionStorage.setItem("mirim.model", $("model").value);
  describe();
});
$("fresh").addEventListener("click", () => {
  running?.abort();
  running = null;
  busy(false);
  turns = [];
  keep();
  $("said").textContent = "";
  $("log").replaceChildren();
  $("welcome").hidden = false;
  $("export").disabled = true;
  $("question").focus();
});

// -- asking ----------------------------------------------------------------------------------------------

function grow() {
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, 220)}px`;
}
field.addEventListener("input", grow);
addEventListener("resize", grow); // a turned phone, larger letters
field.addEventListener("keydown", (e) => {
  if (e.key === "Enter" && !e.shiftKey && !e.isComposing) {
    e.preventDefault();
    $("ask").requestSubmit();
  }
});
$("ask").addEventListener("submit", async (e) => {
  e.preventDefault();
  if (!models.length) await start();
  const text = field.value.trim();
  if (!text || running || !models.length) return;
  field.value = "";
  field.dispatchEvent(new Event("input"));
  send(text);
});
$("stop").addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (e) => {
  if (e.key === "Escape" && running && !document.querySelector("dialog[open]")) running.abort();
});

function showQuestion(text) {
  $("log").append(make("li", { class: "turn user" }, saying("p", { class: "who hidden" }, "you"), make("p", { class: "text" }, text)));
}

function showAnswer(model, body) {
  const item = make("li", { class: "turn answer" }, make("p", { class: "who hidden" }, model), body);
  $("log").append(item);
  return item;
}

/** An answer's words, or what stands where there are none. */
function written(turn) {
  if (!turn.content && turn.reason === "stopped") return saying("p", { class: "text" }, "stopped");
  return make("p", { class: "text" }, turn.content || "—");
}

async function send(text) {
  const model = $("model").value;
  const conversation = turns;
  $("welcome").hidden = true;
  turns.push({ role: "user", content: text });
  keep();
  showQuestion(text);
  const body = make("p", { class: "text", "aria-busy": "true" }, saying("span", { class: "dots" }, grounded() ? "thinking" : "writing"));
  const item = showAnswer(model, body);
  $("said").textContent = t(grounded() ? "thinking" : "writing");
  document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight;
  running = new AbortController();
  busy(true);
  const turn = { role: "assistant", content: "", model, extra: null, id: "", reason: "", question: text };
  let failure = null;
  try {
    await stream(turn, running.signal, () => follow(() => { body.textContent = turn.content; }));
  } catch (error) {
    failure = error;
  }
  if (turns !== conversation) return; // a new conversation was begun meanwhile, and this one is gone
  if (failure) {
    if (failure.name === "AbortError") turn.reason = "stopped";
    else follow(() => {
      item.classList.add("trouble");
      body.textContent = failure.message;
      $("said").textContent = failure.message;
      turns.pop(); // the question was not answered: it can be asked again
      field.value ||= text;
      field.dispatchEvent(new Event("input"));
    });
  }
  running = null;
  busy(false);
  body.removeAttribute("aria-busy");
  if (!item.classList.contains("trouble")) {
    if (!turn.content) body.replaceWith(written(turn));
    turns.push(turn);
    $("export").disabled = false;
    keep();
    follow(() => dress(item, turn));
    $("said").textContent = `${turn.extra?.abstained ? `${t("unknown")}. ` : ""}${turn.content}`;
  }
  field.focus({ preventScroll: true });
}

function busy(yes) {
  $("send").hidden = yes;
  $("stop").hidden = !yes;
}

/** Keep the end in view while it grows, unless the reader scrolled up. */
function follow(grow) {
  const page = document.scrollingElement;
  const near = page.scrollHeight - page.scrollTop - page.clientHeight < 240;
  grow();
  if (near) page.scrollTop = page.scrollHeight;
}

async function stream(turn, signal, show) {
  const messages = turns.filter((m) => m.content).map(({ role, content }) => ({ role, content }));
  const request = { model: turn.model, messages, stream: true };
  if (!grounded()) request.temperature = 0.3;
  const reply = await ask("/v1/chat/completions", { method: "POST", body: JSON.stringify(request), signal });
  if (!reply.ok) await read(reply);
  let held = "";
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read()
      .catch((error) => { throw error.name === "AbortError" ? error : new Error(t("lost")); });
    if (done) break;
    held += value;
    const events = held.split("\n\n");
    held = events.pop();
    const before = turn.content;
    for (const line of events) {
      const data = line.split("\n").filter((l) => l.startsWith("data: ")).map((l) => l.slice(6)).join("\n");
      if (!data || data === "[DONE]") continue;
      const row = JSON.parse(data);
      if (row.error) throw new Error(told(row.error, reply));
      turn.id = row.id;
      const choice = row.choices[0];
      if (!choice) continue;
      turn.content += choice.delta.content ?? "";
      turn.extra = choice.delta.mirim ?? turn.extra;
      turn.reason = choice.finish_reason ?? turn.reason;
    }
    // Once for all that came together: each time the whole page is measured.
    if (turn.content !== before) show();
  }
  if (!turn.reason) throw new Error(t("lost"));
}

// -- what stands below an answer -----------------------------------------------------------------------------

function dress(item, turn) {
  const extra = turn.extra;
  if (extra?.abstained) {
    item.classList.add("unknown");
    item.prepend(saying("p", { class: "badge" }, "unknown"));
  }
  if (extra?.removed?.length) item.append(saying("p", { class: "dim" }, "removed", extra.removed.join(" ")));
  if (turn.reason === "length") item.append(saying("p", { class: "dim" }, "cut"));
  if (turn.reason === "stopped" && turn.content) item.append(saying("p", { class: "dim" }, "stopped"));
  if (extra?.citations?.length) item.append(citations(turn));
  if (!turn.content) return;
  const foot = make("div", { class: "foot" });
  if (extra?.citations?.length && !extra.abstained) {
    const share = new Intl.NumberFormat(tongue, { style: "percent" }).format(extra.confidence);
    const level = extra.confidence >= 0.8 ? "high" : extra.confidence >= 0.6 ? "middle" : "low";
    foot.append(make("span", { class: `sure ${level}` }, make("span", { class: "dot", "aria-hidden": "true" }), saying("span", {}, "sure", share)));
  }
  foot.append(opinions(item, turn));
  item.append(foot);
}

function citations(turn) {
  const list = make("ol", { class: "sources", ...named("sources") });
  turn.extra.citations.forEach((c, n) => {
    const where = c.page ? [`${c.source}, `, saying("span", {}, "page", c.page)] : [c.source];
    const button = make("button", { type: "button", class: "cite" },
      make("span", { class: "mark" }, String(n + 1)),
      make("span", { class: "from" }, make("b", {}, ...where), make("span", { class: "quote" }, c.text)));
    button.addEventListener("click", () => open(turn.model, c));
    list.append(make("li", {}, button));
  });
  return list;
}

async function open(model, c) {
  const url = `/mirim/sources/${encodeURIComponent(model)}/${encodeURIComponent(c.document)}?start=${c.start}&end=${c.end}`;
  $("source-title").textContent = c.source;
  $("source-where").textContent = [c.page && t("page", c.page), t("characters", number(c.start), number(c.end))].filter(Boolean).join(" · ");
  const text = $("source-text");
  text.textContent = "…";
  $("source").showModal();
  try {
    const row = await read(await ask(url));
    // Offsets count Unicode characters, JavaScript counts halves of them.
    const all = Array.from(row.text);
    const part = (a, b) => all.slice(a, b).join("");
    const mark = make("mark", {}, part(row.mark_start, row.mark_end));
    text.replaceChildren((row.before ? "… " : "") + part(0, row.mark_start), mark, part(row.mark_end, all.length) + (row.after ? " …" : ""));
    if (row.title) $("source-title").textContent = row.title;
    if (row.title && row.title !== c.source) $("source-where").prepend(`${c.source} · `);
    mark.scrollIntoView({ block: "center" });
    text.focus({ preventScroll: true });
  } catch (error) {
    text.textContent = error.message;
  }
}
for (const button of document.querySelectorAll("dialog .close")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
$("source").addEventListener("click", (e) => { if (e.target === $("source")) $("source").close(); });

function opinions(item, turn) {
  const box = make("span", { class: "opinions" });
  const copy = make("button", { type: "button", class: "quiet", ...named("copy"), title: t("copy") }, icon(COPY));
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(turn.content);
      $("said").textContent = t("copied");
      copy.classList.add("chosen");
    } catch { /* the browser does not allow it */ }
  });
  if (navigator.clipboard) box.append(copy); // only https and this machine's own pages have one
  for (const [rating, key, path] of [["up", "good", UP], ["down", "bad", DOWN]]) {
    const button = make("button", { type: "button", class: "quiet", ...named(key), title: t(key), "aria-pressed": "false" }, icon(path));
    button.addEventListener("click", () => {
      for (const b of box.querySelectorAll("[aria-pressed]")) b.setAttribute("aria-pressed", String(b === button));
      comment(item, turn, rating);
    });
    box.append(button);
  }
  return box;
}

function comment(item, turn, rating) {
  item.querySelector(".comment")?.remove();
  const input = make("input", { type: "text", maxLength: 5000, ...named("comment", true) });
  const button = saying("button", { type: "submit", class: "main" }, "store");
  const form = make("form", { class: "comment" }, input, button);
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    button.disabled = true; // once is enough
    const row = { model: turn.model, rating, question: turn.question, answer: turn.content, response_id: turn.id };
    if (input.value.trim()) row.comment = input.value.trim();
    if (turn.extra?.citations?.length) row.citations = turn.extra.citations;
    const said = await ask("/mirim/feedback", { method: "POST", body: JSON.stringify(row) })
      .then(read).then(() => saying("span", {}, "thanks"), (error) => error.message);
    form.replaceWith(make("p", { class: "dim comment", role: "status" }, said));
  });
  item.append(form);
  input.focus({ preventScroll: true });
  form.scrollIntoView({ block: "nearest" }); // clear of the question's field, which lies over the page's end
}

// -- taking it along -------------------------------------------------------------------------------------------

$("export").addEventListener("click", () => {
  const model = turns.findLast((m) => m.model)?.model ?? "mirim";
  const lines = [`# ${t("exported", model)}`, ""];
  for (const turn of turns) {
    lines.push(`## ${turn.role === "user" ? t("you") : `${t("answer")} (${turn.model})`}`, "", turn.content, "");
    if (turn.extra) {
      const share = new Intl.NumberFormat(tongue, { style: "percent" }).format(turn.extra.confidence);
      if (turn.extra.abstained) lines.push(`*${t("unknown")}*`, "");
      else if (turn.extra.citations.length) lines.push(`*${t("sure", share)}*`, "");
      turn.extra.citations.forEach((c, n) => {
        const page = c.page ? `, ${t("page", c.page)}` : "";
        lines.push(`${n + 1}. ${c.source}${page}, ${t("characters", c.start, c.end)}:`, `   > ${c.text.replaceAll("\n", "\n   > ")}`);
      });
      lines.push("");
    }
  }
  const url = URL.createObjectURL(new Blob([lines.join("\n")], { type: "text/markdown" }));
  make("a", { href: url, download: `mirim-${new Date().toISOString().slice(0, 16).replace(":", "")}.md` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
});
