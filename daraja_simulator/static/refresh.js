// Brings in what has changed without moving the reader: a focused button or an open body stays.
"use strict";
const live = document.getElementById("live");
let last = live.innerHTML;
setInterval(async () => {
  if (document.hidden || live.contains(document.activeElement) || live.querySelector("details[open]")) return;
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live").innerHTML;
    if (fresh !== last) { live.innerHTML = last = fresh; document.title = page.title; }
  } catch { /* the simulator has stopped; what is shown stays */ }
}, 1000);
