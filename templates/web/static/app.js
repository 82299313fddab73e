// Live pages without a framework: when the daemon reports news, fetch this page again and swap the parts
// marked data-live. Everything works without this script; then the page reloads itself now and then.
"use strict";
(() => {
  const body = document.body;
  let busy = false;
  let again = false;
  let last = 0;

  // By hand: scrollIntoView also moves where the Tab key starts from (Chromium 150), past the skip link.
  const now = document.querySelector("nav [aria-current]");
  const nav = now?.closest("nav");
  if (nav) {
    const [a, b] = [now.getBoundingClientRect(), nav.getBoundingClientRect()];
    nav.scrollLeft += a.left + a.width / 2 - b.left - b.width / 2;
  }

  const parts = (root) => new Map([...root.querySelectorAll("[data-live][id]")].map((e) => [e.id, e]));
  const key = (details) => details.querySelector("summary")?.textContent.trim();

  function swap(old, fresh) {
    if (old.innerHTML === fresh.innerHTML) return;
    if (old.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) return;
    const open = new Map([...old.querySelectorAll("details")].map((d) => [key(d), d.open]));
    for (const d of fresh.querySelectorAll("details")) if (open.has(key(d))) d.open = open.get(key(d));
    const scrolled = [...old.querySelectorAll(".board")].map((e) => e.scrollLeft);
    const focus = document.activeElement?.closest?.("a[href], button");
    const way = focus && old.contains(focus) ? focus.getAttribute("href") : null;
    old.replaceChildren(...fresh.childNodes);
    old.querySelectorAll(".board").forEach((e, i) => { e.scrollLeft = scrolled[i] ?? 0; });
    if (way) old.querySelector(`a[href="${CSS.escape(way)}"]`)?.focus({ preventScroll: true });
  }

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = parts(page);
      for (const [id, old] of parts(document)) if (fresh.has(id)) swap(old, fresh.get(id));
      document.title = page.title;
    } catch {
      body.dataset.lost = "";  // the style sheet says so
      return;
    } finally {
      busy = false;
    }
    delete body.dataset.lost;
    if (again) { again = false; setTimeout(refresh, 300); }
  }

  // One stream for all tabs: a browser opens six connections to a server, and each stream would hold one.
  function follow(soon) {
    if (!window.SharedWorker) return;  // the timer below looks every 15 s
    const worker = new SharedWorker(body.dataset.follow);
    worker.port.onmessage = soon;
    addEventListener("pagehide", () => worker.port.postMessage("bye"));
  }

  if ("follow" in body.dataset) {
    const soon = () => { if (!document.hidden && Date.now() - last > 500) refresh(); else again = true; };
    follow(soon);
    setInterval(() => { if (!document.hidden && (again || Date.now() - last > 15000)) { again = false; refresh(); } }, 1000);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  }

  document.addEventListener("submit", (event) => {
    const ask = event.target.dataset.confirm;
    if (ask && !confirm(ask)) event.preventDefault();
  });

  // Drag a card to Ready: presses the card's own "Set Ready" button.
  let dragged = null;
  document.addEventListener("dragstart", (event) => { dragged = event.target.closest?.("[data-task]"); });
  document.addEventListener("dragend", () => { dragged = null; document.querySelector(".over")?.classList.remove("over"); });
  document.addEventListener("dragover", (event) => {
    const column = event.target.closest?.("[data-drop]");
    document.querySelector(".over")?.classList.remove("over");
    if (column && dragged) { event.preventDefault(); column.classList.add("over"); }
  });
  document.addEventListener("drop", (event) => {
    const column = event.target.closest?.("[data-drop]");
    if (!column || !dragged) return;
    event.preventDefault();
    dragged.querySelector(`button[name="to"][value="${column.dataset.drop}"]`)?.click();
  });
})();
