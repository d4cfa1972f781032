// What the top right corner says: "Live", or how old the page is and why it is not renewed.
const DEADLINE = 8000;
const LENIENCY = 7000;
const SIGN_IN = "/-/sign-in";
const note = document.getElementById("freshness");
const words = document.createTextNode("");
const again = document.createElement("a");
let updated = Date.now();
let every = () => Infinity;
let trouble = "";
let kept = "";
let signedOut = false;

class SignedOut extends Error {}

// Fetches the text of an address; throws what `attempt` tells.
export const ask = async (url) => {
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(DEADLINE) });
  if (answer.status === 401 || new URL(answer.url).pathname.endsWith(SIGN_IN)) throw new SignedOut("you are signed out: ");
  if (!answer.ok) throw new Error(`the dashboard answered ${answer.status}`);
  return answer.text();
};

// Fetches a page; throws what `attempt` tells.
export const page = async (url) => {
  const next = new DOMParser().parseFromString(await ask(url), "text/html");
  if (!next.getElementById("live")) throw new Error("the answer was another page");
  return next;
};

const tell = () => {
  const age = Math.floor((Date.now() - updated) / 1000);
  const stale = trouble !== "" || Date.now() - updated > every() + LENIENCY;
  const text = stale ? `Not current: ${age} s old, ${trouble || kept || "waiting for an answer"}` : "Live";
  if (words.data !== text) words.data = text;
  // the link stays the same element while the age grows, or a click could miss it
  if (!signedOut) again.remove();
  else if (!again.isConnected) note.append(again);
  note.classList.toggle("stale", stale);
  document.body.classList.toggle("out-of-date", stale);
};

// Has `renew` bring the page up to date, and says how that went; `interval()` is the milliseconds until the next time.
// What `renew` returns is why it left the page as it was.
export const attempt = async (renew, interval) => {
  every = interval;
  const begun = Date.now();
  try {
    kept = (await renew()) ?? "";
    if (kept === "") updated = begun;
    trouble = "";
    signedOut = false;
  } catch (error) {
    const silent = error instanceof TypeError || error.name === "TimeoutError";
    trouble = silent ? "the dashboard does not answer" : error.message;
    signedOut = error instanceof SignedOut;
  }
  tell();
};

again.href = location.href;
again.textContent = "sign in again";
note.replaceChildren(words);
setInterval(tell, 1000);
tell();
