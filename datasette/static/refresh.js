// Keeps the page current: fetches the same address and changes of <main> only what differs, so that focus, scrolling,
// what is folded out and what is typed stay as they are.
(() => {
  "use strict";
  const DEADLINE = 8000;
  const LENIENCY = 7000;
  const note = document.getElementById("freshness");
  const main = document.getElementById("live");
  let updated = Date.now();
  let trouble = "";
  let every = Number(main.dataset.every);

  const tell = () => {
    const age = Math.floor((Date.now() - updated) / 1000);
    const stale = trouble !== "" || Date.now() - updated > every + LENIENCY;
    const text = stale ? `Not current: ${age} s old, ${trouble || "waiting for an answer"}` : "Live";
    if (note.textContent !== text) note.textContent = text;
    note.classList.toggle("stale", stale);
    document.body.classList.toggle("out-of-date", stale);
  };

  const marking = () => {
    const selection = window.getSelection();
    return selection && !selection.isCollapsed && main.contains(selection.anchorNode);
  };

  // The reader decides what is folded out and what stands in a field.
  const theirs = (element, name) => name === "open" && element.nodeName === "DETAILS";

  const attributes = (from, to) => {
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !theirs(from, name)) from.removeAttribute(name);
    }
    for (const { name, value } of to.attributes) {
      if (from.getAttribute(name) !== value && !theirs(from, name)) from.setAttribute(name, value);
    }
  };

  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id ?? "") === (b.id ?? "");

  const change = (from, to) => {
    if (from.isEqualNode(to)) return;
    if (from.nodeType !== Node.ELEMENT_NODE) {
      from.nodeValue = to.nodeValue;
      return;
    }
    attributes(from, to);
    if (from.nodeName === "FORM") return;
    const followed = "tail" in from.dataset && from.scrollHeight - from.scrollTop - from.clientHeight < 8;
    children(from, to);
    if (followed) from.scrollTop = from.scrollHeight;
  };

  const children = (from, to) => {
    const named = new Map([...from.children].filter((child) => child.id).map((child) => [child.id, child]));
    const kept = new Set([...to.children].map((child) => child.id).filter(Boolean));
    let place = from.firstChild;
    for (const wanted of [...to.childNodes]) {
      // what has gone makes way first, so that the rest need not move
      while (place && place.id && !kept.has(place.id)) {
        const gone = place;
        place = place.nextSibling;
        gone.remove();
      }
      const known = wanted.id ? named.get(wanted.id) : place;
      if (known && alike(known, wanted)) {
        if (known === place) place = place.nextSibling;
        else from.insertBefore(known, place);
        change(known, wanted);
      } else {
        from.insertBefore(document.adoptNode(wanted), place);
      }
    }
    while (place) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
  };

  const refresh = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(DEADLINE) });
      if (!answer.ok) throw new Error(`the dashboard answered ${answer.status}`);
      const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
      if (!next) throw new Error("the answer was another page");
      // someone is marking text to copy: the next turn will do
      if (!marking()) {
        change(main, next);
        every = Number(main.dataset.every);
      }
      updated = Date.now();
      trouble = "";
    } catch (error) {
      const silent = error instanceof TypeError || error.name === "TimeoutError";
      trouble = silent ? "the dashboard does not answer" : error.message;
    }
    tell();
  };

  const loop = async () => {
    await refresh();
    setTimeout(loop, every);
  };

  for (const block of main.querySelectorAll("pre[data-tail]")) block.scrollTop = block.scrollHeight;
  document.addEventListener("visibilitychange", refresh);
  setInterval(tell, 1000);
  setTimeout(loop, every);
  tell();
})();
