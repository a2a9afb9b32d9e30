// What the page says, in English and Portuguese; and the few helpers that both pages share.

const WORDS = {
  en: {
    skip: "Skip to the question", model: "Model", tools: "Tools", fresh: "New conversation",
    export: "Export the conversation", language: "PT, idioma: português", admin: "Live load", log: "Conversation",
    welcome: "What would you like to know?",
    promise: "Answers come from your own documents, with the passage they rest on. What is not there is not made up.",
    bare: "This model answers freely, without your documents. Do not take its word for facts.",
    question: "Your question", place: "Ask a question", send: "Send", stop: "Stop",
    hint: "Check important answers against their source. Nothing leaves this server.",
    close: "Close", keyTitle: "This server asks for a key",
    keyText: "Whoever runs it makes one with: mirim keys new. It is kept in this tab only.",
    adminKey: "This view needs one made with: mirim keys new --admin. It is kept in this tab only.",
    key: "Key", use: "Use it",
    you: "You", thinking: "Looking it up…", writing: "Writing…", sources: "Sources", page: "page {0}",
    sure: "Confidence {0}", unknown: "I do not know",
    removed: "Left out, because no source supports it: {0}", cut: "The answer was cut off at its longest length.",
    stopped: "Stopped.", good: "Good answer", bad: "Bad answer", comment: "What was good or bad about it? (optional)",
    store: "Send", thanks: "Thank you. Your opinion is stored on this server.", copy: "Copy", copied: "Copied.",
    broken: "That did not work: {0}", offline: "The server cannot be reached.",
    lost: "The connection broke off before everything had arrived. Try again.",
    characters: "characters {0} to {1}", inTokens: "{0} tokens", inCharacters: "{0} characters", assistants: "From your documents", bareModels: "Bare models",
    back: "mirim: back to the conversation", now: "Now", speed: "Tokens per second", running: "Being answered",
    first: "First token, median", memory: "Memory", latency: "Latency, last five minutes", what: "Time",
    queues: "Engines", places: "Running", queue: "Waiting", models: "Models", kind: "Kind", context: "Context",
    replies: "Replies by status", none: "No requests yet.", wait: "{0} waiting", p95: "95 % within {0}", up: "up for {0}",
    total: "Whole answer", firstRow: "First token", of: "{0} of {1}", assistant: "assistant", adapter: "adapter", bareKind: "model",
    exported: "Conversation with {0}", answer: "Answer",
    errors: {
      server_busy: "The server is busy. Try again in {0} s.",
      rate_limit_exceeded: "This key has asked too often. Try again in {0} s.",
      context_length_exceeded: "The text has {0}, and this model takes {1}. Shorten the question or begin a new conversation.",
      deadline_exceeded: "The answer took longer than {0} seconds and was given up. Ask for something shorter.",
      request_timeout: "The question did not arrive in time. Try again.",
      request_too_large: "The conversation is too large to be sent. Begin a new one.",
      model_not_found: "This model is not served any more. Reload the page to see which ones are.",
      model_not_allowed: "Your key may not use this model. Choose another one.",
      no_chat_template: "This model goes on with a text and cannot hold a conversation. Choose another one.",
      invalid_api_key: "This key is unknown or revoked.",
      admin_key_needed: "This key may not see this view.",
      shutting_down: "The server is being stopped. Try again later.",
      engine_failed: "The server could not do this. Its log says why, under {0}.",
      internal: "Something went wrong in the server. Its log says more, under {0}.",
      document_not_found: "This document is not there any more: it was removed or renamed.",
      no_documents: "This model has no documents.",
      cors_closed: "Pages at this address may not use the server. Whoever runs it can allow it: --cors-origin.",
    },
  },
  pt: {
    skip: "Ir para a pergunta", model: "Modelo", tools: "Ferramentas", fresh: "Nova conversa",
    export: "Exportar a conversa", language: "EN, language: English", admin: "Carga ao vivo", log: "Conversa",
    welcome: "O que você gostaria de saber?",
    promise: "As respostas vêm dos seus próprios documentos, com o trecho em que se apoiam. O que não está lá não é inventado.",
    bare: "Este modelo responde livremente, sem os seus documentos. Não confie nele para fatos.",
    question: "Sua pergunta", place: "Faça uma pergunta", send: "Enviar", stop: "Parar",
    hint: "Confira na fonte as respostas importantes. Nada sai deste servidor.",
    close: "Fechar", keyTitle: "Este servidor pede uma chave",
    keyText: "Quem o mantém cria uma com: mirim keys new. Ela fica guardada só nesta aba.",
    adminKey: "Esta tela precisa de uma criada com: mirim keys new --admin. Ela fica guardada só nesta aba.",
    key: "Chave", use: "Usar",
    you: "Você", thinking: "Procurando…", writing: "Escrevendo…", sources: "Fontes", page: "página {0}",
    sure: "Confiança {0}", unknown: "Não sei",
    removed: "Retirado, porque nenhuma fonte confirma: {0}", cut: "A resposta foi cortada no tamanho máximo.",
    stopped: "Interrompida.", good: "Boa resposta", bad: "Resposta ruim", comment: "O que foi bom ou ruim? (opcional)",
    store: "Enviar", thanks: "Obrigado. Sua opinião ficou guardada neste servidor.", copy: "Copiar", copied: "Copiado.",
    broken: "Não deu certo: {0}", offline: "O servidor não responde.",
    lost: "A conexão caiu antes de tudo chegar. Tente de novo.",
    characters: "caracteres {0} a {1}", inTokens: "{0} tokens", inCharacters: "{0} caracteres", assistants: "Dos seus documentos", bareModels: "Modelos puros",
    back: "mirim: voltar à conversa", now: "Agora", speed: "Tokens por segundo", running: "Em resposta",
    first: "Primeiro token, mediana", memory: "Memória", latency: "Latência, últimos cinco minutos", what: "Tempo",
    queues: "Motores", places: "Em curso", queue: "Na fila", models: "Modelos", kind: "Tipo", context: "Contexto",
    replies: "Respostas por código", none: "Nenhum pedido ainda.", wait: "{0} na fila", p95: "95 % em até {0}", up: "no ar há {0}",
    total: "Resposta inteira", firstRow: "Primeiro token", of: "{0} de {1}", assistant: "assistente", adapter: "adaptador", bareKind: "modelo",
    exported: "Conversa com {0}", answer: "Resposta",
    errors: {
      server_busy: "O servidor está ocupado. Tente de novo em {0} s.",
      rate_limit_exceeded: "Esta chave fez pedidos demais. Tente de novo em {0} s.",
      context_length_exceeded: "O texto tem {0}, e este modelo aceita {1}. Encurte a pergunta ou comece uma nova conversa.",
      deadline_exceeded: "A resposta passou de {0} segundos e foi interrompida. Peça algo mais curto.",
      request_timeout: "A pergunta não chegou a tempo. Tente de novo.",
      request_too_large: "A conversa é grande demais para ser enviada. Comece uma nova.",
      model_not_found: "Este modelo não está mais disponível. Recarregue a página para ver quais estão.",
      model_not_allowed: "Sua chave não permite usar este modelo. Escolha outro.",
      no_chat_template: "Este modelo só continua textos e não sabe conversar. Escolha outro.",
      invalid_api_key: "Esta chave é desconhecida ou foi revogada.",
      admin_key_needed: "Esta chave não dá acesso a esta tela.",
      shutting_down: "O servidor está sendo desligado. Tente mais tarde.",
      engine_failed: "O servidor não conseguiu fazer isso. O motivo está no registro dele, em {0}.",
      internal: "Algo deu errado no servidor. O registro dele diz mais, em {0}.",
      document_not_found: "Este documento não existe mais: foi removido ou mudou de nome.",
      no_documents: "Este modelo não tem documentos.",
      cors_closed: "Páginas deste endereço não podem usar o servidor. Quem o mantém pode permitir: --cors-origin.",
    },
  },
};

/** The numbers of an error's text here, from its message or the reply's head. */
const NUMBERS = {
  server_busy: (_, head) => [head.get("retry-after")],
  rate_limit_exceeded: (_, head) => [head.get("retry-after")],
  context_length_exceeded: (message) => sizes(message),
  deadline_exceeded: (message) => found(message, /([\d.]+) seconds/),
  engine_failed: (_, head) => [head.get("x-request-id")],
  internal: (_, head) => [head.get("x-request-id")],
};
const found = (message, pattern) => (message.match(pattern) ?? [null, null]).slice(1).map((n) => n && number(Number(n)));

/** How much there is and, said last, how much there may be. */
function sizes(message) {
  const all = [...message.matchAll(/\b(\d+)(?: (tokens|characters))?\b/g)];
  const size = all.find((one) => one[2]);
  const units = { tokens: "inTokens", characters: "inCharacters" };
  const sized = ([, n, unit]) => (unit ? t(units[unit], number(Number(n))) : number(Number(n)));
  return size ? [sized(size), sized(all.at(-1))] : [null];
}

export const $ = (id) => document.getElementById(id);
export let tongue = stored("mirim.language") || (navigator.language || "en").slice(0, 2);
if (!WORDS[tongue]) tongue = "en";

export function t(key, ...values) {
  return fill(WORDS[tongue][key] ?? key, values);
}

const fill = (text, values) => values.reduce((made, value, n) => made.replace(`{${n}}`, () => value), text);

export function number(value, digits = 2) {
  return value == null ? "–" : new Intl.NumberFormat(tongue, { maximumFractionDigits: digits }).format(value);
}

function stored(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

/** Write every text of the page that is its own in the chosen language, those of answers too. */
export function speak() {
  document.documentElement.lang = tongue;
  for (const e of document.querySelectorAll("[data-t]")) e.textContent = t(e.dataset.t, ...JSON.parse(e.dataset.values ?? "[]"));
  for (const e of document.querySelectorAll("[data-place]")) e.placeholder = t(e.dataset.place);
  for (const e of document.querySelectorAll("[data-label]")) {
    e.setAttribute("aria-label", t(e.dataset.label));
    if (e.matches("button, a")) e.title = t(e.dataset.label);
  }
  const button = $("language");
  button.textContent = tongue === "en" ? "PT" : "EN";
  button.lang = tongue === "en" ? "pt" : "en";
}

export function onLanguage(then) {
  $("language").addEventListener("click", () => {
    tongue = tongue === "en" ? "pt" : "en";
    try { localStorage.setItem("mirim.language", tongue); } catch { /* private window */ }
    speak();
    then();
  });
}

/** An element with properties and children; text is always text, never markup. */
export function make(tag, properties = {}, ...children) {
  const e = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") e.className = value;
    else if (key.includes("-")) e.setAttribute(key, value);
    else e[key] = value;
  }
  e.append(...children.filter((c) => c != null));
  return e;
}

/** An element that says something of the page's own, and goes on to do so when its language changes. */
export function saying(tag, properties, key, ...values) {
  return make(tag, { ...properties, "data-t": key, "data-values": JSON.stringify(values) }, t(key, ...values));
}

/** What names an element, as its label or in its place, likewise. */
export function named(key, place = false) {
  return { "data-label": key, "aria-label": t(key), ...(place ? { "data-place": key, placeholder: t(key) } : {}) };
}

export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** What an error says: by its code, in the page's language, otherwise in the server's words. */
export function told(error, reply) {
  if (!error) return [502, 503, 504].includes(reply.status) ? t("offline") : t("broken", reply.status);
  const words = WORDS[tongue].errors[error.code];
  const numbers = NUMBERS[error.code]?.(error.message, reply.headers) ?? [];
  return words && !numbers.includes(null) ? fill(words, numbers) : t("broken", error.message);
}

/** The JSON of a reply; an Error that says what went wrong, where it has none or is one. */
export async function read(reply) {
  const row = await reply.json().catch(() => null);
  if (!reply.ok) throw new Error(told(row?.error, reply));
  if (!row) throw new Error(t("lost"));
  return row;
}

/** fetch with the key of this tab; asks for one, once for each try, when the server wants it. */
export async function ask(url, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem("mirim.key");
    if (key && !/^[\x21-\x7e]+$/.test(key)) {
      // No header holds such characters, as of curly quotes around it, and no key has them.
      await askKey(told({ code: "invalid_api_key" }));
      continue;
    }
    const headers = { ...(options.body ? { "content-type": "application/json" } : {}) };
    if (key) headers.authorization = `Bearer ${key}`;
    const reply = await fetch(url, { ...options, headers }).catch((error) => {
      throw error.name === "AbortError" ? error : new Error(t("offline"));
    });
    const error = reply.ok ? null : (await reply.clone().json().catch(() => null))?.error;
    if (reply.status !== 401 && error?.code !== "admin_key_needed") return reply;
    await askKey(key && told(error, reply));
  }
}

let asking = null;
$("keys").addEventListener("cancel", (e) => e.preventDefault());
// A browser closes it at the second Escape all the same; what waits for a key would wait for ever.
$("keys").addEventListener("close", () => { if (asking && !$("keys").open) $("keys").showModal(); });

function askKey(wrong) {
  asking ??= new Promise((done) => {
    $("key-wrong").hidden = !wrong;
    $("key-wrong").textContent = wrong;
    $("key").value = "";
    $("key-form").addEventListener("submit", () => {
      sessionStorage.setItem("mirim.key", $("key").value.trim());
      asking = null;
      done();
    }, { once: true });
    $("keys").showModal();
  });
  return asking;
}
