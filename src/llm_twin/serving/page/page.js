// The chat page: asks over the same OpenAI route as any client, and shows what each sentence rests on.
const $ = (selector) => document.querySelector(selector);
const SAYS = {
  generated: "written by the model, supported by the sources",
  extracted: "the author's own sentences",
  refused: "no answer in the author's writing",
};
let twins = [];
let key = sessionStorage.getItem("key") ?? "";
const history = new Map(); // twin → messages

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

function headers() {
  return { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
}

async function loadTwins() {
  const response = await fetch("/twins", { headers: headers() });
  $("#key").hidden = response.status !== 401;
  $("#ask").hidden = response.status === 401;
  if (!response.ok) return;
  twins = (await response.json()).twins;
  $("#twin").replaceChildren(...twins.map((twin) => element("option", { value: twin.name }, twin.author)));
  showTwin();
}

const chosen = () => twins.find((twin) => twin.name === $("#twin").value);

function showTwin() {
  const twin = chosen();
  $("#disclosure").textContent = twin?.disclosure ?? "";
  $("#compare").closest("label").hidden = (twin?.variants.length ?? 0) < 2;
}

async function* readEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (part.startsWith("data: ") && part !== "data: [DONE]") yield JSON.parse(part.slice(6));
    }
  }
}

function safeLink(url) {
  return /^https?:\/\//i.test(url) ? url : "#";
}

async function answerInto(column, twin, question, messages, variant) {
  const text = element("p", { class: "text" });
  const status = element("span", { class: "status" }, "…");
  const sources = element("ol", { class: "sources" });
  column.append(text, status, sources);
  const body = { model: twin.name, messages, stream: true, ...(variant ? { twin: { variant } } : {}) };
  const request = { method: "POST", headers: headers(), body: JSON.stringify(body) };
  const response = await fetch("/openai/v1/chat/completions", request);
  if (!response.ok) {
    const error = (await response.json().catch(() => ({}))).error;
    if (response.status === 401) $("#key").hidden = false;
    throw new Error(error?.message ?? `the server answered ${response.status}`);
  }
  const rows = [];
  let whole = "";
  for await (const event of readEvents(response)) {
    const piece = event.choices?.[0]?.delta?.content ?? "";
    whole += piece;
    const sentences = piece ? (event.twin?.sentences ?? []) : []; // the last event repeats them all, without text
    for (const sentence of sentences) text.append(showSentence(sentence, sources, rows), " ");
    if (piece && !sentences.length) text.append(piece);
    if (event.twin?.status) {
      status.textContent = `${event.twin.status}: ${SAYS[event.twin.status]}`;
      column.append(judge(twin, question, whole, event.twin, variant));
    }
  }
  return whole;
}

function showSentence(sentence, list, rows) {
  const numbers = sentence.citations.map((citation) => {
    let at = rows.findIndex((row) => row.chunk_id === citation.chunk_id && row.start === citation.start);
    if (at < 0) {
      at = rows.push(citation) - 1;
      const link = element("a", { href: safeLink(citation.url), rel: "noreferrer" }, citation.title || citation.url);
      const place = `, characters ${citation.start} to ${citation.end}: `;
      list.append(element("li", {}, link, place, element("q", {}, citation.quote)));
    }
    return at;
  });
  const kind = sentence.supported ? "sentence" : "sentence unsupported";
  const first = sentence.citations[0];
  const says = first ? `From “${first.title || first.url}”: ${first.quote}` : "Not supported by the sources";
  const shown = element("span", { class: kind, tabindex: "0", title: says, "aria-label": `${sentence.text} (${says})` });
  shown.textContent = sentence.text;
  const light = (on) => () => numbers.forEach((at) => list.children[at].classList.toggle("lit", on));
  for (const [name, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]]) {
    shown.addEventListener(name, light(on));
  }
  return shown;
}

function judge(twin, question, answer, details, variant) {
  const reason = element("input", { type: "text", placeholder: "Why? (optional)", "aria-label": "Reason", maxlength: "500" });
  const note = element("span", { role: "status" });
  const buttons = [["up", "Good", "Good answer"], ["down", "Bad", "Bad answer"]].map(([verdict, sign, label]) => {
    const button = element("button", { type: "button", class: "plain", "aria-label": label, "aria-pressed": "false" }, sign);
    button.addEventListener("click", async () => {
      const body = { model: twin.name, question, answer, verdict, reason: reason.value, variant: variant ?? "", trace_id: details.trace_id };
      const response = await fetch("/feedback", { method: "POST", headers: headers(), body: JSON.stringify(body) });
      note.textContent = response.ok ? "Thank you; kept for review." : "It could not be kept.";
      buttons.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
    });
    return button;
  });
  return element("div", { class: "judge" }, ...buttons, reason, note);
}

$("#ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const twin = chosen();
  const question = $("#question").value.trim();
  if (!twin || !question) return;
  $("#send").disabled = true;
  const columns = element("div", { class: "columns" });
  $("#answers").append(element("article", {}, element("h2", {}, question), columns));
  const past = history.get(twin.name) ?? [];
  const messages = [...past, { role: "user", content: question }];
  const variants = $("#compare").checked ? twin.variants : [""];
  const asked = variants.map(async (variant) => {
    const column = element("div", { class: "answer" });
    if (variant) column.append(element("h3", {}, variant));
    columns.append(column);
    try {
      return await answerInto(column, twin, question, variant ? messages.slice(-1) : messages, variant);
    } catch (error) {
      column.append(element("p", { class: "error", role: "alert" }, error.message));
      return "";
    }
  });
  const [first] = await Promise.all(asked);
  if (!$("#compare").checked && first) history.set(twin.name, [...messages, { role: "assistant", content: first }].slice(-6));
  $("#question").value = "";
  $("#send").disabled = false;
  $("#question").focus();
});

$("#question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    $("#ask").requestSubmit();
  }
});
$("#twin").addEventListener("change", showTwin);
$("#key").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("#secret").value.trim();
  sessionStorage.setItem("key", key);
  loadTwins();
});
await loadTwins();
