// Weights over the places of a picture: one query, its keys as patches, tokens without a place as cells above.

const FRONT = 26; // pixels of a cell in front of the grid
const BAR_ROOM = 66; // pixels right of a picture, for the scale of its colours

// "[CLS]" and registers as labelled cells above the picture, in as many rows as they need.
function frontCells(ctx, { keyGrid, keyNames }, width) {
  const cells = [];
  let x = 4, y = 4;
  for (const name of keyNames.slice(0, keyGrid.before)) {
    const label = cut(ctx, name, LONGEST_NAME);
    const wide = FRONT + 6 + ctx.measureText(label).width + 16;
    if (x > 4 && x + wide > width) [x, y] = [4, y + FRONT + 8];
    cells.push({ x, y, width: FRONT, height: FRONT, label });
    x += wide;
  }
  return { cells, height: cells.length ? y + FRONT + 6 : 0 };
}

// The picture below those cells, as large as the width and `tallest` allow, in its own proportions.
function pictureBox(front, grid, picture, width, tallest) {
  const aspect = picture ? picture.naturalWidth / picture.naturalHeight : grid.x / grid.y;
  const wide = Math.round(Math.min(width - BAR_ROOM - 4, tallest * aspect));
  const tall = Math.max(Math.round(wide / aspect), picture ? 1 : 24);
  return { x: 4, y: front.height + 4, width: wide, height: tall };
}

function placeBox(box, grid, place) {
  const [row, column] = [Math.floor(place / grid.x) % grid.y, place % grid.x];
  const [width, height] = [box.width / grid.x, box.height / grid.y];
  return { x: box.x + column * width, y: box.y + row * height, width, height };
}

function inside(box, x, y) {
  return x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height;
}

// The key under the pointer: a cell in front, or a place of frame t.
function keyAt(x, y, { box, front }, grid, t) {
  const cell = front.cells.findIndex((one) => inside(one, x, y));
  if (cell >= 0) return cell;
  if (!inside(box, x, y)) return null;
  const row = Math.floor(((y - box.y) / box.height) * grid.y);
  const column = Math.floor(((x - box.x) / box.width) * grid.x);
  return grid.before + (t * grid.y + row) * grid.x + column;
}

const frameOf = (grid, key) => Math.floor((key - grid.before) / (grid.y * grid.x));

// The query that stands where this key stands, if both sides lie on the same grid; and the other way round.
function sameToken(from, to, fromNames, toNames, index) {
  if (!from || !to || ["t", "y", "x"].some((side) => from[side] !== to[side])) return null;
  if (index >= from.before) return index - from.before + to.before;
  return index < to.before && fromNames[index] === toNames[index] ? index : null;
}
const queryOf = ({ queryGrid, keyGrid, queryNames, keyNames }, key) => sameToken(keyGrid, queryGrid, keyNames, queryNames, key);
const keyOf = ({ queryGrid, keyGrid, queryNames, keyNames }, query) => sameToken(queryGrid, keyGrid, queryNames, keyNames, query);

function askFrom(spec, key) {
  const query = queryOf(spec, key);
  return query === null ? null : { key, query };
}

// Arrows go from place to place; above the first row stand the cells in front.
function stepPlace(pressed, key, grid, frame) {
  const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[pressed];
  if (!by) return null;
  const [down, right] = by;
  if (key < grid.before) {
    if (down) return { key: down > 0 ? grid.before + frame * grid.y * grid.x : key };
    return { key: Math.max(0, Math.min(grid.before - 1, key + right)) };
  }
  const place = (key - grid.before) % (grid.y * grid.x);
  const [row, column] = [Math.floor(place / grid.x) + down, (place % grid.x) + right];
  if (row < 0 && grid.before) return { key: 0 };
  const stays = row < 0 || row >= grid.y || column < 0 || column >= grid.x;
  return { key: stays ? key : key + down * grid.x + right };
}

// The upper end of the colours: the largest weight of the query that asks, or of the whole record.
function topOf({ spec, weights }, { layer, head, query, scale }) {
  return scale ? spec.high : weights.largest[weights.row(layer, head, query)] || 1;
}

// The patches of frame t, a pixel each; kept until something else is asked.
function patches(data, state, t, box, scale) {
  const { layer, head, query } = state;
  const { spec, weights, cache, colours } = data;
  const top = topOf(data, state);
  const { y, x, before } = spec.keyGrid;
  const at = [layer, head, query, top, colours.root].join();
  if (cache.get("asked") !== at) cache.set("asked", at).set("patches", new Map());
  const made = cache.get("patches");
  const size = [t, Math.round(box.height * scale), Math.round(box.width * scale)].join();
  if (!made.has(size)) {
    const key = (row, column) => before + (t * y + row) * x + column;
    const sees = (row, column) => weights.sees(layer, head, query, key(row, column));
    const share = (row, column) => (sees(row, column) ? weights.at(layer, head, query, key(row, column)) / top : NaN);
    made.set(size, raster(y, x, share, colours, box.height * scale, box.width * scale));
  }
  return made.get(size);
}

// Places that may not be seen are hatched on the colour of the page.
function hatchHidden(ctx, box, data, { layer, head, query }, t, ink) {
  if (!data.weights.mask) return;
  const { keyGrid: grid } = data.spec;
  const count = grid.y * grid.x;
  ctx.save();
  ctx.beginPath();
  for (let place = 0; place < count; place++) {
    if (data.weights.sees(layer, head, query, grid.before + t * count + place)) continue;
    const cell = placeBox(box, grid, place);
    ctx.rect(cell.x, cell.y, cell.width, cell.height);
  }
  ctx.fillStyle = ink.paper;
  ctx.fill();
  ctx.clip();
  ctx.globalAlpha = 1;
  hatch(ctx, box, ink);
  ctx.restore();
}

// The picture, and over it the weights of frame t. Small pictures keep their pixels; weights are never smoothed.
function drawOverlay(ctx, box, data, state, t, picture, scale, ink) {
  if (picture) {
    ctx.imageSmoothingEnabled = picture.naturalWidth > 64;
    ctx.drawImage(picture, box.x, box.y, box.width, box.height);
    ctx.globalAlpha = state.opacity;
  }
  hatchHidden(ctx, box, data, state, t, ink);
  blit(ctx, patches(data, state, t, box, scale), box);
  ctx.globalAlpha = 1;
}

function drawFront(ctx, { front }, data, state, ink) {
  const { weights, colours } = data;
  const { layer, head, query } = state;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  front.cells.forEach((cell, key) => {
    if (weights.sees(layer, head, query, key)) {
      ctx.fillStyle = colours.css(weights.at(layer, head, query, key) / topOf(data, state));
      ctx.fillRect(cell.x, cell.y, cell.width, cell.height);
    } else hatch(ctx, cell, ink);
    ctx.fillStyle = ink.text;
    ctx.fillText(cell.label, cell.x + FRONT + 6, cell.y + FRONT / 2);
  });
}

// The patch that asks: dashes in black and white, and inside the patch, so that it differs from the cursor by more
// than its colour and is seen under it.
function dashed(ctx, box) {
  const inset = Math.min(box.width, box.height) > 16 ? 3 : -1;
  const frame = [box.x + inset, box.y + inset, box.width - 2 * inset, box.height - 2 * inset];
  ctx.save();
  ctx.lineWidth = 3;
  ctx.strokeStyle = "#fff";
  ctx.strokeRect(...frame);
  ctx.strokeStyle = "#000";
  ctx.setLineDash([5, 5]);
  ctx.strokeRect(...frame);
  ctx.restore();
}

function queryControl({ axes, queryNames }) {
  if (queryNames.length === 1) return [];
  if (queryNames.length <= 300) return [{ name: "query", label: axes.query, choices: queryNames }];
  return [{ name: "query", label: axes.query, range: { min: 0, max: queryNames.length - 1, step: 1 } }];
}

// A gate's values are compared with 1, so there the colours are the same for all.
const scaleControl = ({ kind }) =>
  kind === "gate" ? [] : [{ name: "scale", label: "colours up to", choices: ["this query's largest", "the largest of all"] }];

// A weight says little without what it would be if the query looked everywhere alike.
function sayPlace(data, state) {
  const { layer, head, query } = state;
  if (data.spec.kind === "gate") return sayWeight(data, state);
  const seen = data.weights.strongest(layer, head, query).length;
  return `${sayWeight(data, state)} Evenly spread it would be ${number(1 / seen)} each.`;
}

const opacityControl = { name: "opacity", label: "opacity", range: { min: 0, max: 1, step: 0.05 } };

const overlay = {
  layout(ctx, width, data, state) {
    const front = frontCells(ctx, data.spec, width);
    const box = pictureBox(front, data.spec.keyGrid, overlay.picture(data, state), width, 440);
    return { front, box, height: box.y + Math.max(box.height, 70) + 6 };
  },

  // One for each input of a gate, or one for all queries.
  picture: ({ pictures }, { query }) => pictures[pictures.length > 1 ? query : 0],

  draw(ctx, layout, data, state, ink) {
    const { box, scale } = layout;
    drawFront(ctx, layout, data, state, ink);
    drawOverlay(ctx, box, data, state, 0, overlay.picture(data, state), scale, ink);
    const bar = { x: box.x + box.width + 14, y: box.y + 6, height: Math.max(48, Math.min(box.height - 12, 160)) };
    colourBar(ctx, bar, data.colours, 0, topOf(data, state), ink);
    const asking = keyOf(data.spec, state.query);
    if (asking !== null) dashed(ctx, overlay.where(layout, data, { key: asking }));
    outline(ctx, overlay.where(layout, data, state), ink);
  },

  pick(x, y, layout, { spec }) {
    const key = keyAt(x, y, layout, spec.keyGrid, 0);
    return key === null ? null : { key };
  },

  click(x, y, layout, { spec }) {
    const key = keyAt(x, y, layout, spec.keyGrid, 0);
    return key === null ? null : askFrom(spec, key);
  },

  act: ({ spec }, { key }) => askFrom(spec, key),
  move: (pressed, { spec }, { key }) => stepPlace(pressed, key, spec.keyGrid, 0),
  controls: ({ spec, pictures }) => [...queryControl(spec), ...(pictures.length ? [opacityControl] : []), ...scaleControl(spec)],

  where({ box, front }, { spec: { keyGrid } }, { key }) {
    return key < keyGrid.before ? front.cells[key] : placeBox(box, keyGrid, key - keyGrid.before);
  },

  says: sayPlace,
};
