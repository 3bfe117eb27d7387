// List what axe-core calls serious or critical on the page at hand, in one run with the options
// given; the page is afterwards as it was. `within` selects a part of the page.
async ({options, onceAKind, within}) => {
  // The inside of a formula has the colour of the text around it, and there are thousands.
  function emptyFormulas() {
    const formulas = [...document.querySelectorAll("mjx-container svg, mjx-assistive-mml")];
    const insides = formulas.map((formula) => [...formula.childNodes]);
    formulas.forEach((formula) => formula.replaceChildren());
    return () => formulas.forEach((formula, i) => formula.replaceChildren(...insides[i]));
  }

  // Text looks the same wherever the same tags and classes stand around it (odd and even rows
  // apart): all but the first of a kind is made invisible, with no change of layout.
  function hideRepeatedText() {
    const numbers = new Map();
    const kind = new Map();
    const first = new Set();
    const repeated = [];
    for (const e of document.body.querySelectorAll("*")) {
      const style = [e.tagName, e.getAttribute("class"), e.getAttribute("style"), e.rowIndex % 2];
      const key = [kind.get(e.parentElement), ...style].join();
      const text = [...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      if (numbers.has(key)) {
        if (text) repeated.push(e);
      } else {
        numbers.set(key, numbers.size);
        if (text && e.checkVisibility({visibilityProperty: true})) first.add(e);
        // A link is compared with the text around it.
        if (e.tagName === "A") first.add(e.parentElement);
      }
      kind.set(e, numbers.get(key));
    }
    repeated.forEach((e) => (e.style.visibility = "hidden"));
    first.forEach((e) => (e.style.visibility = "visible"));
    return () => [...repeated, ...first].forEach((e) => (e.style.visibility = ""));
  }

  const restore = [emptyFormulas(), onceAKind ? hideRepeatedText() : () => {}];
  const {violations} = await axe.run(within ?? document, {...options, preload: false});
  restore.forEach((undo) => undo());
  return violations
    .filter(({impact}) => ["serious", "critical"].includes(impact))
    .flatMap(({id, nodes}) => nodes.map(({html, target}) => `${id}: ${html.slice(0, 160)} at ${target}`));
}
