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

// A formula wider than its column scrolls, so a keyboard must be able to stop at it. Its width
// changes with the screen, and when the block around it is unfolded.
function reachWideFormulas() {
  const observer = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      if (target.scrollWidth > target.clientWidth + 1 && target.clientWidth) {
        target.tabIndex = 0;
      } else {
        target.removeAttribute("tabindex");
      }
    }
  });
  document.querySelectorAll("mjx-container").forEach((formula) => observer.observe(formula));
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
    folded.forEach((block) => (block.open = true));
  });
  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    folded.forEach((block) => (block.open = false));
  });
}

addEventListener("DOMContentLoaded", nameToggles);
addEventListener("load", () => window.MathJax?.startup?.promise.then(reachWideFormulas));
prepareForPaper();
