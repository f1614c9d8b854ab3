// Two columns of names joined by lines: queries left, keys right.

const LINKS = { most: 640, number: 36, top: 24, apart: 12 };

// The chosen side is 0 for a query, whose keys are shown, and 1 for a key, at which queries look.
const links = {
  layout(ctx, width, { spec }) {
    const [, , queries, keys] = spec.shape;
    const right = Math.min(width, LINKS.most);
    const tall = Math.max(queries, keys);
    const height = tall * Math.max(7, Math.min(24, 1100 / tall));
    const [x0, x1] = [nameWidth(ctx, [...spec.queryNames, "query"]), right - nameWidth(ctx, [...spec.keyNames, "key"])];
    const rows = [height / queries, height / keys];
    return { x0: x0 + LINKS.number, x1: x1 - LINKS.number, right, rows, height: LINKS.top + height + 8 };
  },

  draw(ctx, layout, data, state, ink) {
    const { spec } = data;
    const loud = chosenLinks(data, state);
    ctx.drawImage(allLines(layout, data, state, ink), 0, 0, layout.right, layout.height);
    for (const link of [...loud].reverse()) drawLine(ctx, layout, link, ink.chosen, 0.6 + 0.4 * link.weight);
    const others = loud.map((link) => (state.side ? link.query : link.key));
    const first = state.side ? [[state.query, ...others], [state.key]] : [[state.query], [state.key, ...others]];
    const kept = [0, 1].map((side) => apart(spec.shape[2 + side], layout.rows[side], first[side]));
    drawColumn(ctx, layout, 0, spec.queryNames, kept[0], state.query, state.side === 0, ink);
    drawColumn(ctx, layout, 1, spec.keyNames, kept[1], state.key, state.side === 1, ink);
    drawNumbers(ctx, layout, 1 - state.side, loud, others, kept[1 - state.side], ink);
    ctx.fillStyle = ink.text;
    ctx.textAlign = "right";
    ctx.fillText("query", layout.x0 - LINKS.number, 9);
    ctx.textAlign = "left";
    ctx.fillText("key", layout.x1 + LINKS.number, 9);
  },

  pick(x, y, layout, { spec }) {
    const side = x > (layout.x0 + layout.x1) / 2 ? 1 : 0;
    const row = Math.floor((y - LINKS.top) / layout.rows[side]);
    if (x > layout.right || row < 0 || row >= spec.shape[2 + side]) return null;
    return side ? { side, key: row } : { side, query: row };
  },

  // A query or a key that was chosen alone, by name or by another view, is what one wants to see.
  settle(part) {
    if ("side" in part || ("query" in part) === ("key" in part)) return {};
    return { side: "key" in part ? 1 : 0 };
  },

  move(key, { spec }, { side, ...state }) {
    if (key === "ArrowLeft") return { side: 0 };
    if (key === "ArrowRight") return { side: 1 };
    const by = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity }[key];
    if (!by) return null;
    const axis = side ? "key" : "query";
    return { side, [axis]: Math.max(0, Math.min(spec.shape[2 + side] - 1, state[axis] + by)) };
  },

  where(layout, data, { side, query, key }) {
    const height = layout.rows[side];
    const y = LINKS.top + (side ? key : query) * height;
    return side ? { x: layout.x1, y, width: layout.right - layout.x1, height } : { x: 0, y, width: layout.x0, height };
  },

  controls: ({ spec }) => [
    { name: "query", label: "query", choices: spec.queryNames },
    { name: "key", label: "key", choices: spec.keyNames },
    { name: "share", label: "share of each row drawn", range: { min: 0.3, max: 1, step: 0.05 } },
  ],

  says(data, state) {
    const { spec, weights } = data;
    const { layer, head, query, key, side } = state;
    const loud = chosenLinks(data, state);
    const names = loud.slice(0, 5).map((link) => `"${side ? spec.queryNames[link.query] : spec.keyNames[link.key]}" ${number(link.weight)}`);
    const list = names.length ? `: ${names.join(", ")}${loud.length > 5 ? ", …" : "."}` : ".";
    const weight = weights.sees(layer, head, query, key) ? number(weights.at(layer, head, query, key)) : "hidden";
    if (side) {
      const told = `key "${spec.keyNames[key]}": lines from ${loud.length} of ${spec.shape[2]} queries${list}`;
      return `${placeOf(spec, state)}${told} From "${spec.queryNames[query]}": ${weight}.`;
    }
    const sum = loud.reduce((total, link) => total + link.weight, 0);
    const told = `query "${spec.queryNames[query]}": ${loud.length} of ${spec.shape[3]} keys have ${number(sum)} of its weight${list}`;
    return `${placeOf(spec, state)}${told} To "${spec.keyNames[key]}": ${weight}.`;
  },
};

// "layer 1, head 3: " where there are several of them.
function placeOf(spec, { layer, head }) {
  const names = [];
  if (spec.layerNames.length > 1) names.push(spec.layerNames[layer]);
  if (spec.headNames.length > 1) names.push(`head ${spec.headNames[head]}`);
  return names.length ? `${names.join(", ")}: ` : "";
}

// The strongest links of a row, as many as are needed to have `share` of its weight.
function untilShare(strongest, share) {
  const wanted = share * strongest.reduce((sum, { weight }) => sum + weight, 0) - 1e-6;
  const kept = [];
  let sum = 0;
  for (const link of strongest) {
    if (!link.weight || sum >= wanted) break;
    kept.push(link);
    sum += link.weight;
  }
  return kept;
}

// Made once and kept until what it was made of changes.
function remembered(cache, name, of, build) {
  const at = of.join();
  if (!cache.has(name) || cache.get(name).at !== at) cache.set(name, { at, made: build() });
  return cache.get(name).made;
}

// All lines of a head: {query, key, weight}, row by row.
function drawnLinks({ weights, cache }, { layer, head, share }) {
  return remembered(cache, "links", [layer, head, share], () =>
    Array.from({ length: weights.shape[2] }, (_, query) =>
      untilShare(weights.strongest(layer, head, query), share).map((link) => ({ query, ...link })),
    ),
  );
}

function chosenLinks(data, state) {
  const rows = drawnLinks(data, state);
  if (!state.side) return rows[state.query];
  return rows.flat().filter((link) => link.key === state.key).sort((a, b) => b.weight - a.weight);
}

function drawLine(ctx, { x0, x1, rows }, { query, key, weight }, colour, alpha) {
  const [y0, y1] = [LINKS.top + (query + 0.5) * rows[0], LINKS.top + (key + 0.5) * rows[1]];
  const middle = (x0 + x1) / 2;
  ctx.globalAlpha = Math.min(1, alpha);
  ctx.strokeStyle = colour;
  ctx.lineWidth = 0.8 + 5.2 * Math.min(1, weight);
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.bezierCurveTo(middle, y0, middle, y1, x1, y1);
  ctx.stroke();
  ctx.globalAlpha = 1;
}

// Every line, faint, on a canvas of its own: only the chosen ones are painted anew when the pointer moves.
function allLines(layout, data, state, ink) {
  const { scale, right, height } = layout;
  return remembered(data.cache, "lines", [state.layer, state.head, state.share, ink.line, right, height, scale], () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: right * scale, height: height * scale });
    const ctx = canvas.getContext("2d");
    ctx.scale(scale, scale);
    const faint = ink.dark ? 0.11 : 0.08;
    for (const link of drawnLinks(data, state).flat()) drawLine(ctx, layout, link, ink.line, faint + 0.45 * link.weight);
    return canvas;
  });
}

// The rows whose names fit: the first of all, then every one that is far enough from those.
function apart(count, height, first) {
  const fit = [];
  const step = Math.ceil(LINKS.apart / height);
  const even = Array.from({ length: Math.ceil(count / step) }, (_, i) => i * step);
  for (const row of [...first, ...even]) {
    if (fit.every((other) => Math.abs(other - row) * height >= LINKS.apart)) fit.push(row);
  }
  return fit;
}

function drawColumn(ctx, layout, side, names, rows, chosen, loud, ink) {
  const x = side ? layout.x1 + LINKS.number : layout.x0 - LINKS.number;
  ctx.textBaseline = "middle";
  ctx.textAlign = side ? "left" : "right";
  for (const row of rows) {
    ctx.font = `${row === chosen ? "bold " : ""}12px ${ink.font}`;
    ctx.fillStyle = row === chosen && loud ? ink.chosen : ink.text;
    ctx.fillText(cut(ctx, names[row], LONGEST_NAME), x, LINKS.top + (row + 0.5) * layout.rows[side]);
  }
  ctx.font = `12px ${ink.font}`;
}

// The weights of the chosen lines, where they end.
function drawNumbers(ctx, layout, side, loud, ends, rows, ink) {
  ctx.fillStyle = ink.chosen;
  ctx.textAlign = side ? "left" : "right";
  const x = side ? layout.x1 + 5 : layout.x0 - 5;
  loud.forEach(({ weight }, i) => {
    if (rows.includes(ends[i])) ctx.fillText(weight < 0.005 ? "<.01" : weight.toFixed(2), x, LINKS.top + (ends[i] + 0.5) * layout.rows[side]);
  });
}
