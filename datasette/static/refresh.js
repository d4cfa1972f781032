// Keeps the page current: fetches the same address and swaps <main>, without moving what the reader looks at.
(() => {
  "use strict";
  const DEADLINE = 8000;
  const LENIENCY = 7000;
  const note = document.getElementById("freshness");
  let updated = Date.now();
  let trouble = "";
  const every = () => Number(document.getElementById("live").dataset.every);

  const tell = () => {
    const age = Math.floor((Date.now() - updated) / 1000);
    const stale = trouble !== "" || Date.now() - updated > every() + LENIENCY;
    const text = stale
      ? `Not current: ${age} s old, ${trouble || "waiting for an answer"}`
      : "Live";
    if (note.textContent !== text) note.textContent = text;
    note.classList.toggle("stale", stale);
    document.body.classList.toggle("out-of-date", stale);
  };

  // Where each scrolling block stands; one that shows a tail follows it when it was at its end.
  const scrolls = (main) =>
    new Map([...main.querySelectorAll("pre[id]")].map((block) => [
      block.id,
      { top: block.scrollTop, end: block.scrollHeight - block.scrollTop - block.clientHeight < 8 },
    ]));

  const restore = (main, before) => {
    for (const block of main.querySelectorAll("pre[id]")) {
      const was = before.get(block.id);
      const follow = "tail" in block.dataset && (!was || was.end);
      block.scrollTop = follow ? block.scrollHeight : was ? was.top : 0;
    }
  };

  const busy = (main) => {
    const selection = window.getSelection();
    return selection && !selection.isCollapsed && main.contains(selection.anchorNode);
  };

  const swap = (html) => {
    const next = new DOMParser().parseFromString(html, "text/html").getElementById("live");
    const main = document.getElementById("live");
    if (!next) throw new Error("the answer was another page");
    if (busy(main)) return; // someone is marking text to copy: the next turn will do
    const before = scrolls(main);
    const link = main.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const row = document.activeElement.closest("tr[id]");
    const [x, y] = [window.scrollX, window.scrollY];
    main.replaceWith(document.adoptNode(next));
    restore(next, before);
    if (link) {
      const scope = (row && document.getElementById(row.id)) || next;
      scope.querySelector(`a[href="${CSS.escape(link)}"]`)?.focus({ preventScroll: true });
    }
    window.scrollTo(x, y);
  };

  const refresh = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(DEADLINE) });
      if (!answer.ok) throw new Error(`the dashboard answered ${answer.status}`);
      swap(await answer.text());
      updated = Date.now();
      trouble = "";
    } catch (error) {
      trouble = error instanceof TypeError || error.name === "TimeoutError"
        ? "the dashboard does not answer"
        : error.message;
    }
    tell();
  };

  const loop = async () => {
    await refresh();
    setTimeout(loop, every());
  };

  restore(document.getElementById("live"), new Map());
  document.addEventListener("visibilitychange", refresh);
  setInterval(tell, 1000);
  setTimeout(loop, every());
  tell();
})();
