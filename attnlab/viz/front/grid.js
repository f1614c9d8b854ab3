// A table of weights with names at its rows and columns: what heatmap, heads and compare draw.

const LONGEST_NAME = 96; // pixels; longer names are cut

function nameWidth(ctx, names) {
  return Math.min(LONGEST_NAME, Math.max(0, ...names.map((name) => ctx.measureText(name).width)));
}

function cut(ctx, name, width) {
  if (ctx.measureText(name).width <= width) return name;
  let kept = name;
  while (kept && ctx.measureText(kept + "…").width > width) kept = kept.slice(0, -1);
  return kept + "…";
}

// Where a table of rows x columns goes inside the width, names, axis titles and colour bar included.
function tableLayout(ctx, { width, rows, columns, rowNames, columnNames, bar = true, biggest = 30 }) {
  const left = nameWidth(ctx, rowNames) + 26;
  const below = nameWidth(ctx, columnNames) + 28;
  const right = bar ? 72 : 8; // the bar's numbers included
  const cell = Math.max(0.2, Math.min(biggest, (width - left - right) / columns, 560 / rows));
  const box = { x: left, y: 9, width: cell * columns, height: cell * rows };
  return { box, cell, below, height: box.height + below + 9, right: box.x + box.width + right };
}

function drawNames(ctx, layout, rowNames, columnNames, axes, ink) {
  const { box, cell, below } = layout;
  const step = Math.max(1, Math.ceil(12 / cell)); // thinned out where they would overlap
  ctx.fillStyle = ink.text;
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  for (let row = 0; row < rowNames.length; row += step) {
    ctx.fillText(cut(ctx, rowNames[row], LONGEST_NAME), box.x - 5, box.y + (row + 0.5) * cell);
  }
  for (let column = 0; column < columnNames.length; column += step) {
    ctx.save();
    ctx.translate(box.x + (column + 0.5) * cell, box.y + box.height + 5);
    ctx.rotate(-Math.PI / 2);
    ctx.fillText(cut(ctx, columnNames[column], LONGEST_NAME), 0, 0);
    ctx.restore();
  }
  ctx.textAlign = "center";
  ctx.fillText(axes.key, box.x + box.width / 2, box.y + box.height + below - 8);
  if (!axes.query) return;
  ctx.save();
  ctx.translate(9, box.y + box.height / 2);
  ctx.rotate(-Math.PI / 2);
  ctx.fillText(axes.query, 0, 0);
  ctx.restore();
}

const cellBox = ({ box, cell }, row, column) => ({
  x: box.x + column * cell,
  y: box.y + row * cell,
  width: Math.max(cell, 2),
  height: Math.max(cell, 2),
});

function pickCell({ box, cell }, x, y, rows, columns) {
  const row = Math.floor((y - box.y) / cell);
  const column = Math.floor((x - box.x) / cell);
  return row >= 0 && row < rows && column >= 0 && column < columns ? { query: row, key: column } : null;
}

// The table of one head, painted once and kept until layer, head or colours change.
function headRaster(data, state, layer, head, box, scale) {
  const { weights, cache, colours } = data;
  const at = [layer, head, colours.root, Math.round(box.width * scale), Math.round(box.height * scale)].join();
  if (!cache.has(at)) {
    const [, , rows, columns] = weights.shape;
    const high = data.spec.high || 1;
    const share = (q, k) => (weights.sees(layer, head, q, k) ? weights.at(layer, head, q, k) / high : NaN);
    cache.set(at, raster(rows, columns, share, colours, box.height * scale, box.width * scale));
  }
  return cache.get(at);
}
