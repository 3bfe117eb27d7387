// What a link to a numbered thing leads to, shown beside the link: a theorem, an equation, a figure.
"use strict";

(() => {
  const NUMBERED = /^#(?:equation-|(?:def|thm|lem|prop|cor|fig|tab|ex)-)/;
  const SHOW_AFTER = 250; // ms that the pointer rests on a link
  const HIDE_AFTER = 200; // ms to move from the link into the preview
  const GAP = 8; // px
  // What can be pressed or unfolded, what belongs to another place, and what is said twice.
  const LEFT_OUT =
    "details, script, input, button, output, label, .headerlink, .sd-dropdown, .dropdown";

  const pages = new Map();
  let preview = null; // the box, while it is there
  let asked = null; // the link that a preview was asked for
  let timer = 0;

  function isNumbered(link) {
    return NUMBERED.test(link.hash) && link.origin === location.origin && link.closest("article");
  }

  function pageOf(link) {
    if (link.pathname === location.pathname) return document;
    const address = link.href.split("#")[0];
    if (!pages.has(address)) pages.set(address, fetchPage(address));
    return pages.get(address);
  }

  async function fetchPage(address) {
    const response = await fetch(address);
    if (!response.ok) return null;
    return new DOMParser().parseFromString(await response.text(), "text/html");
  }

  // A copy of the thing with nothing in it that could take the focus or be mistaken for the thing.
  function copyOf(target, address) {
    const copy = target.cloneNode(true);
    copy.querySelectorAll(LEFT_OUT).forEach((part) => part.remove());
    for (const link of copy.querySelectorAll("a")) {
      if (!link.closest("svg")) link.replaceWith(...link.childNodes);
    }
    for (const image of copy.querySelectorAll("img")) {
      image.src = new URL(image.getAttribute("src"), address);
      image.removeAttribute("loading");
    }
    for (const part of [copy, ...copy.querySelectorAll("[id], [tabindex]")]) {
      if (!part.closest("svg")) part.removeAttribute("id");
      part.removeAttribute("tabindex");
    }
    copy.classList.remove("toggle-hidden");
    return copy;
  }

  function boxOf(copy) {
    const box = document.createElement("div");
    box.id = "preview";
    box.className = "preview bd-article";
    box.setAttribute("role", "tooltip");
    box.append(copy);
    return box;
  }

  // Under the link if there is room, else above it; never outside the screen.
  function place(box, link) {
    const at = link.getClientRects()[0];
    const width = document.documentElement.clientWidth;
    const left = Math.max(GAP, Math.min(at.left, width - box.offsetWidth - GAP));
    const fits = at.bottom + GAP + box.offsetHeight < innerHeight || at.top < innerHeight / 2;
    const top = fits ? at.bottom + GAP : at.top - GAP - box.offsetHeight;
    box.style.left = `${left + scrollX}px`;
    box.style.top = `${top + scrollY}px`;
    box.classList.toggle("cut", box.scrollHeight > box.clientHeight + 1);
  }

  async function show(link) {
    hide();
    asked = link;
    let page = null;
    try {
      page = await pageOf(link);
    } catch {
      pages.delete(link.href.split("#")[0]);
    }
    if (asked !== link) return;
    const target = page?.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (!target || target.contains(link)) {
      asked = null;
      return;
    }
    preview = boxOf(copyOf(target, link.href));
    document.body.append(preview);
    place(preview, link);
    link.setAttribute("aria-describedby", preview.id);
    if (page !== document) await window.MathJax?.typesetPromise?.([preview]);
    if (preview) place(preview, link);
  }

  function hide() {
    clearTimeout(timer);
    asked?.removeAttribute("aria-describedby");
    if (preview) {
      window.MathJax?.typesetClear?.([preview]);
      preview.remove();
    }
    preview = asked = null;
  }

  function later(action, delay) {
    clearTimeout(timer);
    timer = setTimeout(action, delay);
  }

  function numberedLink(event) {
    const link = event.target.closest?.("a[href]");
    return link && isNumbered(link) ? link : null;
  }

  // A finger cannot hover: it follows the link.
  function onPointerOver(event) {
    if (event.pointerType !== "mouse") return;
    const link = numberedLink(event);
    if (link && link !== asked) later(() => show(link), SHOW_AFTER);
    else if (link || preview?.contains(event.target)) clearTimeout(timer);
    else if (asked) later(hide, HIDE_AFTER);
    else clearTimeout(timer);
  }

  function onFocusIn(event) {
    const link = numberedLink(event);
    if (link?.matches(":focus-visible")) later(() => show(link), SHOW_AFTER);
  }

  // From a file, a browser lets a page read no other.
  if (location.protocol !== "file:") {
    document.addEventListener("pointerover", onPointerOver);
    document.addEventListener("focusin", onFocusIn);
    document.addEventListener("focusout", hide);
    document.addEventListener("click", hide);
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
    addEventListener("beforeprint", hide);
    addEventListener("resize", hide);
  }
})();
