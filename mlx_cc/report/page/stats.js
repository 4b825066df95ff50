// Estimates and tests. Each says where it is from; tests/test_dashboard.py compares them with SciPy.

const Z95 = 1.959963984540054;

/** Quantile 0.975 of Student's t: Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5); exact for df 1 and 2. */
function t975(df) {
  if (df < 1) return NaN;
  if (df === 1) return 12.706204736432095;
  if (df === 2) return 4.302652729911275;
  const z = Z95,
    z3 = z ** 3,
    z5 = z ** 5,
    z7 = z ** 7,
    z9 = z ** 9;
  return (
    z +
    (z3 + z) / (4 * df) +
    (5 * z5 + 16 * z3 + 3 * z) / (96 * df ** 2) +
    (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * df ** 3) +
    (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / (92160 * df ** 4)
  );
}

/** Two-sided p of a standard normal deviate: erfc by Chebyshev fitting (Press et al., Numerical Recipes, 6.2.2). */
function normalP(z) {
  const x = Math.abs(z) / Math.SQRT2,
    t = 1 / (1 + 0.5 * x);
  const terms = [
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223,
    0.17087277,
  ];
  return t * Math.exp(-x * x + terms.reduceRight((sum, term) => sum * t + term, 0));
}

/** Mean with Student's 95% interval, cut at the ends of the scale. */
function meanOf(values, low = -Infinity, high = Infinity) {
  const n = values.length;
  if (!n) return { n, value: NaN, low: NaN, high: NaN, sd: NaN };
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / n;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  const sd = n > 1 ? Math.sqrt(squares / (n - 1)) : NaN;
  const half = n > 1 ? (t975(n - 1) * sd) / Math.sqrt(n) : NaN;
  return { n, value: mean, low: Math.max(low, mean - half), high: Math.min(high, mean + half), sd };
}

/** Share with Wilson's 95% interval (E. B. Wilson, 1927). */
function shareOf(hits, n) {
  if (!n) return { n, value: NaN, low: NaN, high: NaN, sd: NaN };
  const share = hits / n,
    z2 = Z95 * Z95;
  const middle = (share + z2 / (2 * n)) / (1 + z2 / n);
  const half = (Z95 / (1 + z2 / n)) * Math.sqrt((share * (1 - share)) / n + z2 / (4 * n * n));
  return {
    n,
    value: share,
    low: Math.max(0, middle - half),
    high: Math.min(1, middle + half),
    sd: Math.sqrt(share * (1 - share)),
  };
}

/** Difference of two means, later minus earlier, with Welch's 95% interval (normal for shares). */
function difference(later, earlier) {
  if (later.n < 2 || earlier.n < 2) return null;
  const a = later.sd ** 2 / later.n,
    b = earlier.sd ** 2 / earlier.n;
  const df = (a + b) ** 2 / (a ** 2 / (later.n - 1) + b ** 2 / (earlier.n - 1));
  const half = (a + b > 0 ? t975(df) : 0) * Math.sqrt(a + b);
  const value = later.value - earlier.value;
  return { value, low: value - half, high: value + half };
}

/** Cochran-Armitage test for a trend of shares over weeks: z > 0 is rising (P. Armitage, 1955). */
function trendTest(hits, totals) {
  let n = 0,
    sum = 0,
    tN = 0,
    ttN = 0,
    tHit = 0;
  for (let t = 0; t < totals.length; t++) {
    n += totals[t];
    sum += hits[t];
    tN += t * totals[t];
    ttN += t * t * totals[t];
    tHit += t * hits[t];
  }
  const share = sum / n;
  const variance = share * (1 - share) * (ttN - (tN * tN) / n);
  if (!(variance > 0)) return { z: 0, p: 1 };
  const z = (tHit - share * tN) / Math.sqrt(variance);
  return { z, p: normalP(z) };
}

/** Which of several tests hold at a false discovery rate (Y. Benjamini and Y. Hochberg, 1995). */
function discoveries(ps, rate = 0.05) {
  const order = ps.map((p, at) => [p, at]).sort((a, b) => a[0] - b[0]);
  let last = -1;
  order.forEach(([p], rank) => {
    if (p <= (rate * (rank + 1)) / ps.length) last = rank;
  });
  const found = new Set(order.slice(0, last + 1).map(([, at]) => at));
  return ps.map((_, at) => found.has(at));
}

function ranks(values) {
  const order = Array.from(values.keys()).sort((a, b) => values[a] - values[b]);
  const found = new Float64Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start;
    while (end + 1 < order.length && values[order[end + 1]] === values[order[start]]) end++;
    for (let at = start; at <= end; at++) found[order[at]] = (start + end) / 2 + 1;
    start = end + 1;
  }
  return found;
}

/** Spearman's rank correlation with a 95% interval (Fisher's z, standard error of Bonett and Wright, 2000). */
function spearman(xs, ys) {
  const n = xs.length;
  if (n < 4) return { n, value: NaN, low: NaN, high: NaN };
  const a = ranks(xs),
    b = ranks(ys),
    middle = (n + 1) / 2;
  let ab = 0,
    aa = 0,
    bb = 0;
  for (let at = 0; at < n; at++) {
    ab += (a[at] - middle) * (b[at] - middle);
    aa += (a[at] - middle) ** 2;
    bb += (b[at] - middle) ** 2;
  }
  const value = ab / Math.sqrt(aa * bb);
  const half = Z95 * Math.sqrt((1 + (value * value) / 2) / (n - 3));
  return { n, value, low: Math.tanh(Math.atanh(value) - half), high: Math.tanh(Math.atanh(value) + half) };
}
