// What the theme's scripts leave out: names of buttons, formulas by keyboard, paper.
"use strict";

// "Click to show" is drawn by the style sheet; what it shows stands in the title around it.
function nameToggles() {
  for (const button of document.querySelectorAll(".toggle-button")) {
    const name = document.createElement("span");
    name.className = "visually-hidden";
    name.textContent = button.closest(".admonition-title").textContent.trim();
    button.removeAttribute("aria-label");
    button.append(name);
  }
}

// A formula wider than its column scrolls, so a keyboard must be able to stop at it.
function setTabStop(formula) {
  // One that stands in a line of text, or in a folded block, has no width of its own to scroll in.
  if (formula.clientWidth && formula.scrollWidth > formula.clientWidth) {
    formula.tabIndex = 0;
  } else {
    formula.removeAttribute("tabindex");
  }
}

// Its width changes with the screen, and when the block around it is unfolded.
function watchFormulas() {
  const formulas = document.querySelectorAll("mjx-container");
  const observer = new ResizeObserver((changes) => changes.forEach((c) => setTabStop(c.target)));
  formulas.forEach(setTabStop);
  formulas.forEach((formula) => observer.observe(formula));
}

// A link to something that has moved to another page goes on to it.
function followMovedAnchor() {
  const moved = document.getElementById("moved");
  const target = moved && JSON.parse(moved.textContent)[decodeURIComponent(location.hash.slice(1))];
  if (target) location.replace(target);
}

// Paper is white and cannot be unfolded.
function prepareForPaper() {
  const root = document.documentElement;
  let folded = [];
  let theme;
  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    folded = [...document.querySelectorAll("article details:not([open])")];
    // Of the answers to a question one is open at a time, as long as they share a name.
    folded.forEach((block) => {
      block.dataset.name = block.getAttribute("name") ?? "";
      block.removeAttribute("name");
      block.open = true;
    });
  });
  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    folded.forEach((block) => {
      block.open = false;
      if (block.dataset.name) block.setAttribute("name", block.dataset.name);
    });
  });
}

addEventListener("DOMContentLoaded", nameToggles);
addEventListener("DOMContentLoaded", followMovedAnchor);
addEventListener("load", () => window.MathJax?.startup?.promise.then(watchFormulas));
prepareForPaper();
