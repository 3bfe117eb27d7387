// Live figures: sliders redraw what the build has drawn first, on the same axes.
"use strict";

(() => {
  const fs = window.freqsense;
  // A screen reader would read every sentence that a moving slider passes.
  const REST = 300; // milliseconds

  /** A number in three significant digits, as the build writes it. */
  function number(value, digits = 3) {
    const plain = Math.abs(value) < 5e-7 ? 0 : value;
    const text = plain.toLocaleString("en", { maximumSignificantDigits: digits });
    return text.replace("-", "\u2212");
  }

  function count(value) {
    return value.toLocaleString("en");
  }

  /** Bytes that the build has written as text. */
  function bytes(text) {
    return Float64Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  function spread(low, high, n) {
    return Float64Array.from({ length: n }, (_, i) => low * (high / low) ** (i / (n - 1)));
  }

  /** One plot of a figure: places numbers on the axes that the build has drawn. */
  class Panel {
    constructor(svg) {
      this.svg = svg;
      [this.left, this.top, this.width, this.height] = svg.dataset.plot.split(" ").map(Number);
      this.x = placer(svg.dataset.x);
      this.y = placer(svg.dataset.y);
    }

    find(name) {
      return this.svg.querySelector(`[data-name="${name}"]`);
    }

    point(x, y) {
      const across = this.left + this.width * this.x(x);
      const down = this.top + this.height * (1 - this.y(y));
      return `${across.toFixed(2)} ${down.toFixed(2)}`;
    }

    curve(name, xs, ys) {
      const points = Array.from(xs, (x, i) => this.point(x, ys[i]));
      this.find(name).setAttribute("d", points.length ? `M${points.join("L")}` : "");
    }

    dots(name, xs, ys) {
      const points = Array.from(xs, (x, i) => `M${this.point(x, ys[i])}h0`);
      this.find(name).setAttribute("d", points.join(""));
    }

    /** A picture from levels between 0 and 1, one list for grey, three for colour. */
    image(name, [height, width], channels) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, height];
      const context = canvas.getContext("2d");
      const picture = context.createImageData(width, height);
      picture.data.fill(255);
      for (let c = 0; c < 3; c++) {
        // Bytes of an image data array are cut off at 0 and 255.
        channels[c % channels.length].forEach((level, i) => {
          picture.data[4 * i + c] = Math.floor(255 * level + 0.5);
        });
      }
      context.putImageData(picture, 0, 0);
      this.find(name).setAttribute("href", canvas.toDataURL());
    }
  }

  function placer(axis) {
    const [kind, low, high] = axis.split(" ");
    const scale = kind === "log" ? Math.log10 : (value) => value;
    const [from, to] = [scale(Number(low)), scale(Number(high))];
    return (value) => Math.min(Math.max((scale(value) - from) / (to - from), 0), 1);
  }

  const SIDE = 32; // of the images of the theorem's figure
  const WAVE_SIDE = 64;
  const FIELD_SIDE = 64;
  const KERNEL_SIDE = 32;
  const PHOTO_SIDE = 64;
  const FIT_TO = 16; // last ring of the slope of power, in cycles/image
  const LOWEST = 1e-4; // sensitivity on its logarithmic axis

  /** Sensitivity against frequency on images of a power law, in units where D |b*|² = 1. */
  function drawTheorem([powers, answers], { alpha, decay, depth, images }) {
    const law = fs.lawPower([SIDE, SIDE], alpha);
    const setting = { decay, depth, pixels: 1 };
    const powerAt = (k) => law[1] * k ** -alpha; // law[1] is at one cycle/image
    const answer = (power) => fs.predict(power, power, setting);
    const threshold = fs.threshold(1, setting);
    const edge = edgeOf(law[1], threshold, alpha);

    const sample = { decay, images: Math.round(images) };
    const few = fs.predictFewImages(law, law.map((s) => s / SIDE), sample)
      .map((r) => r * SIDE);
    const mark = threshold || fs.sampleDecay(law, sample);
    const ks = spread(1, SIDE / 2, 161);
    powers.curve("power", ks, ks.map(powerAt));
    powers.curve("mark", [1, SIDE / 2], [mark, mark]);
    powers.find("marked").textContent =
      depth === 1 ? "dashed: λ with N images" : "dashed: threshold s*";
    const [radii, places] = radiiOf([SIDE, SIDE], SIDE / 2);
    const heard = depth === 1 ? radii : ks.filter((k) => k < edge);
    const r = depth === 1 ? places.map((i) => few[i]) : answer(heard.map(powerAt));
    drawAnswer(answers, heard, r, edge, depth);
    for (const panel of [powers, answers]) shadeSilence(panel, edge);

    const off = answer(law).filter((value, i) => i > 0 && value === 0).length;
    const [near, far] = depth === 1 ? [few[1], few[8]] : answer([1, 8].map(powerAt));
    const smaller = alpha ? `${number(8 ** alpha)} times smaller` : "as large";
    const head =
      `Depth ${depth}, λ = ${number(decay)}, α = ${number(alpha)}: the network has ` +
      `${number(near)} of its teacher's sensitivity at 1 cycle/image and ${number(far)} at 8, ` +
      `where power is ${smaller}. `;
    if (depth > 1) return `${head}Switched off: ${count(off)} of ${count(SIDE ** 2 - 1)} waves.`;
    return `${head}From ${count(sample.images)} images; λ acts as ${number(mark)}.`;
  }

  /** Radial frequencies of a grid from 1 to the highest, each once, and where one of each is. */
  function radiiOf(shape, highest) {
    const radius = fs.radialFrequency(shape);
    const order = Array.from(radius.keys()).sort((i, j) => radius[i] - radius[j] || i - j);
    const inside = order.filter((i) => radius[i] > 1 - 1e-9 && radius[i] < highest + 1e-9);
    const first = inside.filter((i, n) => n === 0 || radius[i] - radius[inside[n - 1]] > 1e-9);
    return [first.map((i) => radius[i]), first];
  }

  /** The network's sensitivity, which ends at the edge, from depth 3 on with a jump. */
  function drawAnswer(panel, heard, r, edge, depth) {
    const jump = Math.max(depth - 2, 0) / Math.max(depth - 1, 1);
    const drops = edge > 1 && edge < SIDE / 2;
    panel.curve("sensitivity", drops ? [...heard, edge] : heard, drops ? [...r, jump] : r);
    panel.curve("drop", drops ? [edge, edge] : [], [jump, LOWEST]);
  }

  /** Grey over the frequencies to which the network has no sensitivity. */
  function shadeSilence(panel, edge) {
    const first = Math.min(Math.max(edge, 1), SIDE / 2);
    const [low, high] = panel.svg.dataset.y.split(" ").slice(1).map(Number);
    panel.curve("off", [first, SIDE / 2, SIDE / 2, first], [high, high, low, low]);
  }

  /** Radial frequency from which on power lies below the threshold. */
  function edgeOf(strength, edgePower, alpha) {
    if (edgePower === 0) return Infinity;
    if (alpha === 0) return strength > edgePower ? Infinity : 0;
    return (strength / edgePower) ** (1 / alpha);
  }

  /** One wave: its two spikes on the frequency plane, and its picture. */
  function drawWave([plane, picture], { ky, kx, phase }) {
    const length = Math.hypot(ky, kx);
    const shape = [WAVE_SIDE, WAVE_SIDE];
    const middle = WAVE_SIDE / 2;
    const step = length ? WAVE_SIDE / length ** 2 / 2 : 0; // along ω, half a wavelength
    plane.curve("direction", [0, kx], [0, ky]);
    plane.dots("spikes", [kx, -kx], [ky, -ky]);
    const levels = fs.wave(shape, ky, kx, (phase * Math.PI) / 180).map((value) => (1 + value) / 2);
    picture.image("wave", shape, [levels]);
    picture.curve("length", [-1, 1].map((end) => middle + end * step * kx),
      [-1, 1].map((end) => middle + end * step * ky));

    const head = `ω = (${number(ky)}, ${number(kx)}), phase ${number(phase)}°: `;
    if (length === 0) return `${head}no wave but a constant, and one spike, at DC.`;
    const angle = ((Math.atan2(ky, kx) * 180) / Math.PI + 180) % 180;
    return (
      `${head}${number(length)} cycles/image. Crests are ${number(WAVE_SIDE / length)} pixels apart, ` +
      `along a line turned ${number(angle)}° clockwise from the horizontal. Two spikes, at ` +
      `(${number(ky)}, ${number(kx)}) and (${number(-ky)}, ${number(-kx)}).`
    );
  }

  /** A Gaussian field of power |ω|^-α, always of the same noise, and its spectrum. */
  function drawField([picture, spectrum], { alpha }, data) {
    const shape = [FIELD_SIDE, FIELD_SIDE];
    data.transform ??= fs.transform(bytes(data.noise).map((byte) => byte / 32 - 4), shape);
    const gain = fs.fieldGain(shape, alpha);
    const law = fs.lawPower(shape, alpha);
    picture.image("field", shape, [fs.filtered(data.transform, gain, shape).map((v) => 0.5 + v / 6)]);
    const ks = spread(1, FIELD_SIDE / 2, 2);
    spectrum.curve("law", ks, ks.map((k) => law[1] * k ** -alpha));
    const means = fs.ringMeans(fs.powerOf(data.transform, gain), shape);
    spectrum.dots("rings", Array.from(means.keys()).slice(1), means.slice(1));

    const radius = fs.radialFrequency(shape);
    const coarse = law.reduce((sum, power, i) => sum + (radius[i] <= 4 ? power : 0), 0);
    const look = data.looks.find(([end]) => alpha < end)[1];
    const smaller = alpha ? `${number((FIELD_SIDE / 2) ** alpha)} times smaller than` : "as large as";
    return (
      `α = ${number(alpha)}: ${look}. At ${FIELD_SIDE / 2} cycles/image power is ${smaller} at 1; on ` +
      `average, waves of at most 4 cycles/image hold ${number((100 * coarse) / law.length)} % of ` +
      "the variance."
    );
  }

  /** 1, 2 or 5 times a power of ten, the end of an axis. */
  function roundUp(largest) {
    if (largest < 1e-9) return 1;
    const unit = 10 ** Math.floor(Math.log10(largest));
    return [1, 2, 5, 10].map((k) => k * unit).find((end) => end >= largest * (1 - 1e-9));
  }

  /** Size of a kernel's transfer function on the frequency plane, and along its two axes. */
  function drawKernel([map, slice], taps) {
    const kernel = Array.from({ length: 9 }, (_, i) => taps[`w${i}`]);
    const shape = [KERNEL_SIDE, KERNEL_SIDE];
    const { re, im } = fs.transfer(kernel, [3, 3], shape);
    const size = re.map((value, i) => Math.hypot(value, im[i]));
    const largest = Math.max(...size);
    const top = roundUp(largest);
    map.image("size", shape, [fs.shifted(size.map((value) => value / top), shape)]);
    map.find("title").textContent = `|T|: black 0, white ${number(top)}`;
    const ks = Array.from({ length: KERNEL_SIDE / 2 + 1 }, (_, k) => k);
    slice.curve("across", ks, ks.map((k) => size[k] / top));
    slice.curve("down", ks, ks.map((k) => size[k * KERNEL_SIDE] / top));
    slice.svg.querySelectorAll('[data-name="y-tick"]').forEach((tick, i) => {
      tick.textContent = number((i * top) / 2);
    });
    const end = KERNEL_SIDE / 2;
    const at = [0, end, end * KERNEL_SIDE, end * KERNEL_SIDE + end].map((i) => number(size[i]));
    return (
      `|T| is ${at[0]} at DC, ${at[1]} at the finest upright stripes, (0, ${end}), ${at[2]} at the ` +
      `finest level ones, (${end}, 0), and ${at[3]} at the finest checkerboard, (${end}, ${end}); ` +
      `its largest value is ${number(largest)}.`
    );
  }

  /** A photograph with its amplitudes multiplied by |ω|^δ, at the variance that it had. */
  function drawRecolored([picture, spectrum], { delta }, data) {
    const shape = [PHOTO_SIDE, PHOTO_SIDE];
    data.transforms ??= photoTransforms(data.photo, shape);
    const plain = fs.recolorGain(shape, 0);
    const gain = fs.recolorGain(shape, delta);
    const [before, after] = [plain, gain].map((g) => meanPower(data.transforms, g));
    const scale = sumWithoutDC(before) / sumWithoutDC(after);
    const kept = gain.map((value, i) => (i === 0 ? value : value * Math.sqrt(scale)));
    picture.image("photo", shape, data.transforms.map((x) => fs.filtered(x, kept, shape)));

    const rings = fs.ringMeans(meanPower(data.transforms, kept), shape).slice(1);
    spectrum.curve("power", rings.map((_, i) => i + 1), rings);
    const radius = fs.ringMeans(fs.radialFrequency(shape), shape).slice(1, FIT_TO + 1);
    const slopes = [fs.ringMeans(before, shape).slice(1), rings].map((means) =>
      number(fs.slope(radius, means.slice(0, FIT_TO))));
    const look = data.looks.find(([end]) => delta < end)[1];
    return (
      `δ = ${number(delta)}: ${look}. From 1 to ${FIT_TO} cycles/image the slope of log power is ` +
      `${slopes[1]}; that of the photograph is ${slopes[0]}.`
    );
  }

  /** Transforms of red, green and blue, which the build has written pixel by pixel. */
  function photoTransforms(text, shape) {
    const levels = bytes(text).map((byte) => byte / 255);
    return [0, 1, 2].map((c) => fs.transform(levels.filter((_, i) => i % 3 === c), shape));
  }

  /** Power at each frequency after a gain, mean over channels. */
  function meanPower(transforms, gain) {
    const powers = transforms.map((x) => fs.powerOf(x, gain));
    return powers[0].map((_, i) => powers.reduce((sum, power) => sum + power[i], 0) / powers.length);
  }

  function sumWithoutDC(power) {
    return power.reduce((sum, value, i) => sum + (i > 0 ? value : 0), 0);
  }

  const DRAW = {
    theorem: drawTheorem, wave: drawWave, field: drawField, kernel: drawKernel,
    recolor: drawRecolored,
  };

  /** Value that a slider stands for; some move along a logarithmic scale. */
  function valueOf(slider) {
    return slider.dataset.scale === "log" ? 10 ** slider.value : Number(slider.value);
  }

  function start(box) {
    const panels = Array.from(box.querySelectorAll("svg"), (svg) => new Panel(svg));
    const sliders = Array.from(box.querySelectorAll("input[type=range]"));
    const data = JSON.parse(box.querySelector("script").textContent);
    const says = box.querySelector(".explorer-says");
    let resting;

    function redraw() {
      const values = Object.fromEntries(sliders.map((slider) => [slider.name, valueOf(slider)]));
      for (const slider of sliders) {
        const digits = slider.dataset.scale === "log" ? 3 : 5;
        const { when, unless } = data.only?.[slider.name] ?? { when: {} };
        slider.disabled = Object.entries(when).some(([name, value]) => values[name] !== value);
        const text = slider.disabled ? unless :
          number(valueOf(slider), digits) + slider.dataset.unit;
        slider.parentElement.querySelector("output").value = text;
        slider.setAttribute("aria-valuetext", text);
      }
      const sentence = DRAW[box.dataset.explorer](panels, values, data);
      clearTimeout(resting);
      if (says.textContent === sentence) return;
      resting = setTimeout(() => { says.textContent = sentence; }, REST);
    }

    for (const slider of sliders) slider.addEventListener("input", redraw);
    for (const button of box.querySelectorAll("button[data-set]")) {
      button.addEventListener("click", () => {
        for (const [name, value] of Object.entries(JSON.parse(button.dataset.set))) {
          sliders.find((slider) => slider.name === name).value = value;
        }
        redraw();
      });
    }
    box.querySelector(".explorer-controls").hidden = false;
    // A browser that goes back to the page may bring back where its sliders stood.
    redraw();
  }

  document.querySelectorAll(".freqsense-explorer").forEach(start);
})();
