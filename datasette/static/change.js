// Changes of an element only what differs from another, so that focus, scrolling, what is folded out and what is typed
// stay as they are.

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

// Output shows its end when it comes, and follows it from there unless the reader has scrolled back.
export const showEnds = (within) => {
  for (const block of within.querySelectorAll("pre[data-tail]")) block.scrollTop = block.scrollHeight;
};

export const change = (from, to) => {
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
      if (wanted.nodeType === Node.ELEMENT_NODE) showEnds(from);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
};
