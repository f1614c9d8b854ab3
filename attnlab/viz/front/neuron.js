// One query against one key, dimension by dimension: both vectors, their products and the sum so far.

const STRIP = { height: 58, gap: 16, top: 22, left: 104, right: 66, widest: 26 };

const neuron = {
  layout(ctx, width, { spec }) {
    const cell = Math.min(STRIP.widest, (width - STRIP.left - STRIP.right) / spec.width);
    const box = { x: STRIP.left, y: STRIP.top, width: cell * spec.width, height: 4 * STRIP.height + 3 * STRIP.gap };
    return { box, cell, height: STRIP.top + box.height + 38 };
  },

  draw(ctx, layout, data, state, ink) {
    const { box, cell } = layout;
    outline(ctx, neuron.where(layout, data, state), ink);
    stripsOf(data, state).forEach(({ name, of, values, largest }, i) => {
      const middle = box.y + i * (STRIP.height + STRIP.gap) + STRIP.height / 2;
      drawBars(ctx, box.x, middle, cell, values, largest, ink);
      ctx.fillStyle = ink.text;
      ctx.textBaseline = "middle";
      ctx.textAlign = "right";
      const lines = [name, ...(of ? [cut(ctx, of, LONGEST_NAME)] : []), `± ${number(largest)}`];
      lines.forEach((line, at) => ctx.fillText(line, box.x - 8, middle + 16 * (at - (lines.length - 1) / 2)));
      ctx.textAlign = "left";
      ctx.font = `bold 12px ${ink.font}`;
      ctx.fillText(number(values[state.unit]), box.x + box.width + 10, middle);
      ctx.font = `12px ${ink.font}`;
    });
    drawDimensions(ctx, layout, data.spec.width, state.unit, ink);
  },

  pick(x, y, { box, cell }, { spec }) {
    const unit = Math.floor((x - box.x) / cell);
    return y >= box.y && y <= box.y + box.height && unit >= 0 && unit < spec.width ? { unit } : null;
  },

  where: ({ box, cell }, data, { unit }) => ({ ...box, x: box.x + unit * cell, width: Math.max(cell, 2) }),

  settle: (part, { spec }, { unit }) => ({ unit: Math.min(unit, spec.width - 1) }),

  move(key, { spec }, { unit }) {
    const by = { d: 1, D: -1 }[key];
    return by ? { unit: Math.max(0, Math.min(spec.width - 1, unit + by)) } : null;
  },

  // The dimension whose product is largest in size.
  act(data, state) {
    const sizes = productOf(data, state, state.key).products.map(Math.abs);
    return { unit: sizes.indexOf(Math.max(...sizes)) };
  },

  controls: ({ spec }) => [
    { name: "query", label: spec.axes.query, choices: spec.queryNames },
    { name: "key", label: spec.axes.key, choices: spec.keyNames },
    { name: "unit", label: "dimension", range: { min: 0, max: spec.width - 1, step: 1 } },
  ],

  says(data, state) {
    const { spec, weights } = data;
    const { layer, head, query, key, unit } = state;
    const { q, k, products, sums } = productOf(data, state, key);
    const total = sums[spec.width - 1];
    const pair = `${spec.axes.query} "${spec.queryNames[query]}" · ${spec.axes.key} "${spec.keyNames[key]}" = ${number(total)}`;
    const scaled = spec.scale === null ? "" : `, times ${number(spec.scale)} = ${number(spec.scale * total)}`;
    const among = spec.keyNames.filter((_, other) => weights.sees(layer, head, query, other)).length;
    const became = weights.sees(layer, head, query, key)
      ? `the softmax over ${among} keys makes a weight of ${number(weights.at(layer, head, query, key))} of it`
      : "the mask hides it from the softmax";
    const here = `dimension ${unit}: ${number(q[unit])} × ${number(k[unit])} = ${number(products[unit])}, sum so far ${number(sums[unit])}`;
    return `${placeOf(spec, state)}${pair}${scaled}; ${became}. Of this, ${here}.`;
  },
};

// The vector of one query or key, from its codes.
function vectorOf(codes, steps, row, width) {
  return Float32Array.from(codes.subarray(row * width, (row + 1) * width), (code) => code * steps[row]);
}

function productOf({ spec, arrays }, { layer, head, query }, key) {
  const [, heads, queries, keys] = spec.shape;
  const q = vectorOf(arrays.queries, arrays.querySteps, (layer * heads + head) * queries + query, spec.width);
  const k = vectorOf(arrays.keys, arrays.keySteps, (layer * heads + head) * keys + key, spec.width);
  const products = q.map((value, unit) => value * k[unit]);
  let sum = 0;
  const sums = products.map((value) => (sum += value));
  return { q, k, products, sums };
}

// Four strips. Vectors have one scale in a head, products and sums one for each query, so that keys can be compared.
function stripsOf(data, state) {
  const { spec, cache } = data;
  const { layer, head, query, key } = state;
  const { q, k, products, sums } = productOf(data, state, key);
  const of = remembered(cache, "scales", [layer, head, query], () => scalesOf(data, state));
  return [
    { name: spec.axes.query, of: spec.queryNames[query], values: q, largest: of.q },
    { name: spec.axes.key, of: spec.keyNames[key], values: k, largest: of.k },
    { name: `${spec.axes.query} × ${spec.axes.key}`, values: products, largest: Math.max(of.products, sizeOf(products)) },
    { name: "sum so far", values: sums, largest: Math.max(of.sums, sizeOf(sums)) },
  ];
}

const sizeOf = (values) => Math.max(1e-9, ...values.map(Math.abs));

function scalesOf(data, state) {
  const [, , queries, keys] = data.spec.shape;
  const all = (count, one) => Array.from({ length: count }, (_, i) => one(i));
  const seen = all(keys, (key) => key).filter((key) => data.weights.sees(state.layer, state.head, state.query, key));
  const pairs = seen.map((key) => productOf(data, state, key));
  const scale = (vectors) => Math.max(1e-9, ...vectors.map(sizeOf));
  return {
    q: scale(all(queries, (query) => productOf(data, { ...state, query }, 0).q)),
    k: scale(all(keys, (key) => productOf(data, state, key).k)),
    products: scale(pairs.map((pair) => pair.products)),
    sums: scale(pairs.map((pair) => pair.sums)),
  };
}

// Up is positive, down negative; the colour says it once more.
function drawBars(ctx, x, middle, cell, values, largest, ink) {
  const gap = cell > 4 ? 1 : 0;
  values.forEach((value, i) => {
    const size = (STRIP.height / 2) * (value / largest);
    ctx.fillStyle = value < 0 ? ink.negative : ink.positive;
    ctx.fillRect(x + i * cell, middle - Math.max(0, size), Math.max(1, cell - gap), Math.abs(size));
  });
  ctx.fillStyle = ink.text;
  ctx.fillRect(x, middle - 0.5, cell * values.length, 1);
}

function drawDimensions(ctx, { box, cell }, width, unit, ink) {
  const y = box.y + box.height + 10;
  const step = [1, 2, 4, 8, 16, 32, 64, 128, 256].find((every) => every * cell >= 26) || width;
  ctx.fillStyle = ink.text;
  ctx.textAlign = "center";
  for (let i = 0; i < width; i += step) ctx.fillText(String(i), box.x + (i + 0.5) * cell, y);
  ctx.fillText("dimension", box.x + box.width / 2, y + 16);
  ctx.textAlign = "left";
  ctx.font = `bold 12px ${ink.font}`;
  ctx.fillText(`at ${unit}:`, box.x + box.width + 10, 9);
  ctx.font = `12px ${ink.font}`;
}
