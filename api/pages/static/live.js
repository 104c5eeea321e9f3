"use strict";
// What is live: lists that change with events, and the log of a job that runs. Without this script
// every page still works; it shows how things were when it was loaded.

function reloadOnEvents(main) {
  let timer = 0;
  const source = new EventSource("/api/v2/events");
  const reload = async () => {
    timer = 0;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    // Not while somebody types or has a button in focus: that would be lost.
    if (fresh && !main.contains(document.activeElement)) main.innerHTML = fresh.innerHTML;
  };
  const soon = () => { if (!timer) timer = setTimeout(reload, 300); };
  for (const name of main.dataset.events.split(" ")) source.addEventListener(name, soon);
  // What runs and waits changes without an event, too.
  setInterval(() => { if (!document.hidden) soon(); }, 5000);
}

function followLog(log) {
  const state = document.getElementById("state");
  const source = new EventSource(`${log.dataset.follow}?after=${log.dataset.after}`);
  let stage = log.querySelector("h3:last-of-type")?.textContent;
  const add = (event) => {
    const line = JSON.parse(event.data);
    if (!line.output) return;
    const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 20;
    if (line.stage !== stage) {
      stage = line.stage;
      const heading = document.createElement("h3");
      heading.textContent = stage;
      log.append(heading);
    }
    const row = document.createElement("p");
    row.className = line.log_level;
    row.textContent = line.output;
    log.append(row);
    mark(row);
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  };
  source.addEventListener("log", add);
  source.addEventListener("done", () => {
    source.close();
    state.textContent = "ended";
    location.reload();
  });
  source.onerror = () => { state.textContent = "connecting again"; };
  source.onopen = () => { state.textContent = "following"; };
}

const search = document.getElementById("search");
function mark(row) {
  const wanted = search ? search.value.toLowerCase() : "";
  row.classList.toggle("found", wanted !== "" && row.textContent.toLowerCase().includes(wanted));
}
function searchLog() {
  const rows = [...document.querySelectorAll("#log p")];
  rows.forEach(mark);
  const found = rows.filter((row) => row.classList.contains("found"));
  document.getElementById("state").textContent = search.value ? `${found.length} ${found.length === 1 ? "line" : "lines"}` : "";
  if (found.length) found[0].scrollIntoView({ block: "center" });
}

const main = document.getElementById("main");
if (main.dataset.live) reloadOnEvents(main);
const log = document.getElementById("log");
if (log?.dataset.follow) followLog(log);
search?.addEventListener("change", searchLog);
