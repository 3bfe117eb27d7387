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

  /** A wave of amplitude 1 and a phase in radians at each pixel. */
  function wave([height, width], ky, kx, phase) {
    return Float64Array.from({ length: height * width }, (_, i) => {
      const turns = (ky * Math.floor(i / width)) / height + (kx * (i % width)) / width;
      return Math.cos(2 * Math.PI * turns + phase);
    });
  }

  return {
    signedFrequencies, onGrid, radialFrequency, lawPower, predict, threshold, wave,
  };
})();
