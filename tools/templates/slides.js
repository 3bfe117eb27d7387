// Starts a deck once its formulas and pictures are there and every slide fits.
"use strict";

(() => {
  // Letters, against their size in slides.css.
  const SMALLEST = 0.7;
  const LARGEST = { figure: 1, table: 1 };
  const TITLE = 110; // pixels of a headline above a picture

  function overflows(slide) {
    const body = slide.querySelector(".body");
    const title = slide.querySelector("h1, h2");
    const over = (box) =>
      box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1;
    const pressed = slide.parentElement.dataset.kind === "figure" && !slide.matches(".tall");
    return over(body) || over(slide) || (pressed && title.offsetHeight > TITLE);
  }

  /** Make letters smaller until a slide fits. */
  function fit(slide) {
    const picture = slide.querySelector(".body img");
    const tall = picture !== null && picture.naturalHeight > 0.9 * picture.naturalWidth;
    slide.classList.toggle("tall", tall);
    let size = LARGEST[slide.parentElement.dataset.kind] ?? 1.25;
    do {
      slide.style.fontSize = `${size}em`;
      size -= 0.03;
    } while (size > SMALLEST && overflows(slide));
  }

  async function start() {
    await MathJax.startup.promise;
    // Left alone, they would come once the first slide is seen, after all were measured.
    await Promise.all(Array.from(document.fonts, (font) => font.load().catch(() => null)));
    const pictures = [...document.querySelectorAll(".slides img")];
    await Promise.all(pictures.map((picture) => picture.decode().catch(() => null)));
    const slides = document.querySelector(".slides");
    slides.classList.add("measuring");
    slides.querySelectorAll(".slide").forEach(fit);
    slides.classList.remove("measuring");
    await Reveal.initialize({
      width: 1280,
      height: 720,
      margin: 0,
      center: false,
      controlsTutorial: false,
      hash: true,
      transition: "none",
      slideNumber: "c/t",
      plugins: [RevealNotes, RevealZoom],
    });
  }

  // Else the arrow keys would go on moving a slider that the mouse has let go.
  addEventListener("pointerup", (event) => event.target.type === "range" && event.target.blur());
  addEventListener("DOMContentLoaded", start);
})();
