// Brings in what has changed without moving the reader: a focused button or an open body stays.
"use strict";
const blocks = [...document.querySelectorAll(".live")];
const last = new Map(blocks.map((block) => [block.id, block.innerHTML]));
const isRead = (block) => block.contains(document.activeElement) || block.querySelector("details[open]");
setInterval(async () => {
  if (document.hidden || blocks.every(isRead)) return;
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const block of blocks) {
      const fresh = page.getElementById(block.id).innerHTML;
      if (fresh === last.get(block.id) || isRead(block)) continue;
      block.innerHTML = fresh;
      last.set(block.id, fresh);
      document.title = page.title;
    }
  } catch { /* the simulator has stopped; what is shown stays */ }
}, 1000);
