// The book's formulas for its live figures, each held against the library by tests/site.
// An image of the shape [height, width] is a list of numbers, row by row, DC first in frequency.
"use strict";

window.freqsense = (() => {
  const MAX_NEWTON_STEPS = 200;
  // Radii are computed in floating point: 5 may come out a rounding error short.
  const RADIUS_SLACK = 1e-9;

  /** Signed frequencies along one axis, the Nyquist frequency with a minus. */
  function signedFrequencies(side) {
    return Float64Array.from({ length: side }, (_, k) => (k < Math.ceil(side / 2) ? k : k - side));
  }

  /** A value for each frequency (ky, kx) of the grid. */
  function onGrid([height, width], value) {
    const ky = signedFrequencies(height);
    const kx = signedFrequencies(width);
    return Float64Array.from({ length: height * width }, (_, i) =>
      value(ky[Math.floor(i / width)], kx[i % width]));
  }

  function radialFrequency([height, width]) {
    const side = Math.min(height, width);
    return onGrid([height, width], (ky, kx) => side * Math.hypot(ky / height, kx / width));
  }

  /** Power |ω|^-α without DC, for images of unit pixel variance. */
  function lawPower(shape, alpha) {
    const power = radialFrequency(shape).map((radius) => (radius > 0 ? radius ** -alpha : 0));
    const total = power.reduce((sum, value) => sum + value, 0);
    return power.map((value) => (value * power.length) / total);
  }

  /** Sensitivity r at each frequency, from its power s and correlation γ. */
  function predict(power, cross, { decay, depth, pixels = power.length, branch = "global" }) {
    const kappa = decay * pixels ** (1 / depth - 1);
    return Float64Array.from(power, (s, i) => {
      const gamma = Math.abs(cross[i]);
      if (!(s > 0)) return 0;
      if (depth === 1) return gamma / (s + kappa);
      if (depth === 2 || kappa === 0) return Math.max(gamma - kappa, 0) / s;
      return upperRoot(s, gamma, kappa, depth, branch);
    });
  }

  // With r = t γ / s the equation s r - γ + κ r^(2/L-1) = 0 is t + a t^q = 1, convex in t: Newton's
  // steps from t = 1 never pass the largest root.
  function upperRoot(s, gamma, kappa, depth, branch) {
    const q = 2 / depth - 1;
    const least = (depth - 2) / (depth - 1) / (branch === "global" ? 1 : 2);
    const a = (kappa * (gamma / s) ** q) / gamma;
    if (!(a <= (1 - least) * least ** -q)) return 0;
    let t = 1;
    for (let n = 0; n < MAX_NEWTON_STEPS; n++) {
      const bend = a * t ** q;
      const step = (t + bend - 1) / Math.max(1 + (q * bend) / t, 1e-300);
      t = Math.max(t - step, least);
      if (!(step > 1e-15)) break;
    }
    return (t * gamma) / s;
  }

  /** Power below which a frequency is ignored, for a teacher of this size there. */
  function threshold(target, { decay, depth, pixels }) {
    const kappa = decay * pixels ** (1 / depth - 1);
    if (depth === 1) return 0;
    if (depth === 2) return kappa / target;
    const bracket = (depth - 1) / ((depth - 2) * target);
    return kappa * (depth - 2) * bracket ** ((2 * (depth - 1)) / depth);
  }

  /** Weight decay as which λ acts on a sample of so many images, at depth 1. */
  function sampleDecay(power, { decay, images }) {
    const sum = (term) => power.reduce((total, s) => total + term(s), 0);
    let d = decay + sum((s) => s) / images;
    for (let n = 0; n < MAX_NEWTON_STEPS; n++) {
      const excess = d - decay - (d * sum((s) => s / (s + d))) / images;
      const step = excess / (1 - sum((s) => (s / (s + d)) ** 2) / images);
      d = Math.max(d - step, decay);
      if (!(step > 1e-15 * d)) break;
    }
    return d;
  }

  /** Root mean square sensitivity over samples of so many images, at depth 1. */
  function predictFewImages(power, cross, { decay, images, noise = 0 }) {
    const d = sampleDecay(power, { decay, images });
    const sum = (term) => power.reduce((total, s, i) => total + term(s, Math.abs(cross[i])), 0);
    const missed = sum((s, gamma) => (s > 0 ? (d * gamma) ** 2 / (s * (s + d) ** 2) : 0));
    const spread = (noise + missed) / (images - sum((s) => (s / (s + d)) ** 2));
    return Float64Array.from(power, (s, i) =>
      s > 0 ? Math.sqrt(cross[i] ** 2 + s * spread) / (s + d) : 0);
  }

  /** A wave of amplitude 1 and a phase in radians at each pixel. */
  function wave([height, width], ky, kx, phase) {
    return Float64Array.from({ length: height * width }, (_, i) => {
      const turns = (ky * Math.floor(i / width)) / height + (kx * (i % width)) / width;
      return Math.cos(2 * Math.PI * turns + phase);
    });
  }

  // Cosine and sine of k turns in n, kept for each n.
  const tables = new Map();
  function tableOf(n) {
    if (!tables.has(n)) {
      const angles = Array.from({ length: n }, (_, k) => (2 * Math.PI * k) / n);
      tables.set(n, [angles.map(Math.cos), angles.map(Math.sin)]);
    }
    return tables.get(n);
  }

  // One line of n values by the definition, in place; at 64 x 64 pixels an image takes milliseconds
  // so, and any n will do.
  function transformLine({ re, im }, start, step, n, sign) {
    const [cos, sin] = tableOf(n);
    const lineRe = Float64Array.from({ length: n }, (_, p) => re[start + step * p]);
    const lineIm = Float64Array.from({ length: n }, (_, p) => im[start + step * p]);
    const scale = 1 / Math.sqrt(n);
    for (let k = 0; k < n; k++) {
      let [sumRe, sumIm] = [0, 0];
      for (let p = 0, turn = 0; p < n; p++, turn = (turn + k) % n) {
        const [c, s] = [cos[turn], sign * sin[turn]];
        sumRe += lineRe[p] * c - lineIm[p] * s;
        sumIm += lineRe[p] * s + lineIm[p] * c;
      }
      re[start + step * k] = scale * sumRe;
      im[start + step * k] = scale * sumIm;
    }
  }

  function transformGrid(grid, [height, width], sign) {
    for (let row = 0; row < height; row++) transformLine(grid, row * width, 1, width, sign);
    for (let column = 0; column < width; column++) {
      transformLine(grid, column, width, height, sign);
    }
    return grid;
  }

  /** Unitary transform {re, im} of an image. */
  function transform(image, shape) {
    const grid = { re: Float64Array.from(image), im: new Float64Array(image.length) };
    return transformGrid(grid, shape, -1);
  }

  /** Image of a transform whose amplitudes are multiplied by a gain at each frequency. */
  function filtered({ re, im }, gain, shape) {
    const grid = { re: re.map((v, i) => v * gain[i]), im: im.map((v, i) => v * gain[i]) };
    return transformGrid(grid, shape, 1).re;
  }

  /** Power at each frequency after a gain. */
  function powerOf({ re, im }, gain) {
    return re.map((v, i) => (v ** 2 + im[i] ** 2) * gain[i] ** 2);
  }

  /** Gain that makes a Gaussian field with power |ω|^-α of white noise. */
  function fieldGain(shape, alpha) {
    return lawPower(shape, alpha).map(Math.sqrt);
  }

  /** Gain |ω|^δ, 1 at DC. */
  function recolorGain(shape, delta) {
    return radialFrequency(shape).map((radius) => (radius > 0 ? radius ** delta : 1));
  }

  /** Mean over each ring of radial frequency, from DC to the middle of the shorter side. */
  function ringMeans(values, shape) {
    const rings = Math.floor(Math.min(...shape) / 2) + 1;
    const total = new Float64Array(rings);
    const number = new Float64Array(rings);
    radialFrequency(shape).forEach((radius, i) => {
      const ring = Math.floor(radius + 0.5 + RADIUS_SLACK);
      if (ring < rings) [total[ring], number[ring]] = [total[ring] + values[i], number[ring] + 1];
    });
    return total.map((sum, ring) => sum / number[ring]);
  }

  /** Transfer function {re, im} of a kernel at each frequency; its middle lies on the pixel. */
  function transfer(kernel, [rows, columns], shape) {
    const [middleRow, middleColumn] = [rows, columns].map((taps) => Math.floor((taps - 1) / 2));
    const sum = (part) => onGrid(shape, (ky, kx) =>
      kernel.reduce((total, weight, i) => {
        const down = Math.floor(i / columns) - middleRow;
        const across = (i % columns) - middleColumn;
        const turns = (ky * down) / shape[0] + (kx * across) / shape[1];
        return total + weight * part(2 * Math.PI * turns);
      }, 0));
    return { re: sum(Math.cos), im: sum(Math.sin) };
  }

  /** The same grid with DC in the middle. */
  function shifted(values, [height, width]) {
    return values.map((_, i) => {
      const row = (Math.floor(i / width) + Math.ceil(height / 2)) % height;
      const column = ((i % width) + Math.ceil(width / 2)) % width;
      return values[row * width + column];
    });
  }

  /** Slope of the straight line through log y against log x. */
  function slope(xs, ys) {
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const centred = (values) => {
      const logs = Array.from(values, Math.log);
      return logs.map((value) => value - mean(logs));
    };
    const [x, y] = [centred(xs), centred(ys)];
    return mean(x.map((value, i) => value * y[i])) / mean(x.map((value) => value ** 2));
  }

  return {
    signedFrequencies, onGrid, radialFrequency, lawPower, predict, threshold,
    sampleDecay, predictFewImages, wave,
    transform, filtered, powerOf, fieldGain, recolorGain, ringMeans,
    transfer, shifted, slope,
  };
})();
