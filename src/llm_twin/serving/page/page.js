const twins = (await (await fetch("/twins")).json()).twins;
document.querySelector("#disclosure").textContent = twins[0].disclosure;
document.querySelector("#ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = document.querySelector("#question").value;
  const body = { model: twins[0].name, messages: [{ role: "user", content: question }] };
  const headers = { "content-type": "application/json" };
  const response = await fetch("/openai/v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body) });
  const answer = await response.json();
  const shown = document.createElement("article");
  const text = document.createElement("p");
  text.textContent = answer.error ? answer.error.message : answer.choices[0].message.content;
  shown.append(text);
  for (const source of answer.twin?.sources ?? []) {
    const link = document.createElement("a");
    link.href = source.url;
    link.textContent = source.title || source.url;
    const line = document.createElement("div");
    line.append(link, ` ${source.quote}`);
    shown.append(line);
  }
  document.querySelector("#answers").prepend(shown);
});
