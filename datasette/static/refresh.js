// Keeps the page current: fetches the same address and changes of <main> only what differs.
import { change, showEnds } from "./change.js";
import { attempt, page } from "./freshness.js";

const main = document.getElementById("live");
const every = () => Number(main.dataset.every);

// Someone is marking text to copy: a later turn will do.
const marking = () => {
  const selection = window.getSelection();
  return selection && !selection.isCollapsed && main.contains(selection.anchorNode);
};

const renew = async () => {
  const next = await page(location.href);
  if (marking()) return "kept as it is while text is marked";
  change(main, next.getElementById("live"));
  return "";
};

const refresh = async () => {
  if (!document.hidden) await attempt(renew, every);
};

const loop = async () => {
  await refresh();
  setTimeout(loop, every());
};

showEnds(main);
document.addEventListener("visibilitychange", refresh);
setTimeout(loop, every());
