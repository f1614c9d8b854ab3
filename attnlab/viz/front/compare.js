// Two tables of one shape and their difference, with one cursor in all three.

const BETWEEN = { narrow: 700, gap: 14, top: 22, bar: 74 };

const compare = {
  layout(ctx, width, { spec }) {
    const [, , rows, columns] = spec.shape;
    const names = { rows, columns, rowNames: spec.queryNames, columnNames: spec.keyNames };
    return width < BETWEEN.narrow ? belowEachOther(ctx, width, names) : sideBySide(ctx, width, names);
  },

  draw(ctx, layout, data, state, ink) {
    const { spec, arrays, colours } = data;
    const { query, key } = state;
    const titles = [...spec.names, `${spec.names[1]} − ${spec.names[0]}`];
    const pictures = tablesOf(data, state, layout);
    layout.tables.forEach((table, i) => {
      const { box, named, bar } = table;
      hatch(ctx, box, ink);
      blit(ctx, pictures[i], box);
      drawNames(ctx, table, named ? spec.queryNames : [], spec.keyNames, named ? spec.axes : { key: spec.axes.key }, ink);
      ctx.font = `bold 12px ${ink.font}`;
      ctx.textAlign = "left";
      ctx.fillText(cut(ctx, titles[i], table.room), box.x, box.y - 11);
      ctx.font = `12px ${ink.font}`;
      const scale = { x: box.x + box.width + 10, y: box.y, height: Math.min(box.height, 160) };
      if (bar && i < 2) colourBar(ctx, scale, colours, 0, spec.high, ink);
      if (i === 2) colourBar(ctx, scale, new Colours(arrays.diverging, false), -spec.most, spec.most, ink);
    });
    for (const table of layout.tables) outline(ctx, cellBox(table, query, key), ink);
  },

  pick(x, y, { tables }, { spec }) {
    const found = tables.map((table) => pickCell(table, x, y, spec.shape[2], spec.shape[3]));
    return found.find(Boolean) || null;
  },

  where: ({ tables }, data, { query, key }) => cellBox(tables[0], query, key),

  says(data, { layer, head, query, key }) {
    const { spec } = data;
    const [a, b] = [data.weights, secondOf(data)].map((weights) =>
      weights.sees(layer, head, query, key) ? number(weights.at(layer, head, query, key)) : "hidden",
    );
    const changes = spec.keyNames.map((name, other) => ({ name, by: differenceAt(data, layer, head, query, other) }));
    const { name, by } = changes.reduce((most, one) => (Math.abs(one.by) > Math.abs(most.by) ? one : most));
    const pair = `${spec.axes.query} "${spec.queryNames[query]}", ${spec.axes.key} "${spec.keyNames[key]}"`;
    const told = `${spec.names[0]} ${a}, ${spec.names[1]} ${b}, difference ${signed(changes[key].by)}`;
    return `${placeOf(spec, { layer, head })}${pair}: ${told}. Largest of this ${spec.axes.query}: "${name}" ${signed(by)}.`;
  },
};

const signed = (value) => `${value > 0 ? "+" : ""}${number(value)}`;

const secondOf = ({ spec, arrays, cache }) =>
  remembered(cache, "second", [], () =>
    new Weights(spec.shape, arrays.secondCodes, arrays.secondLargest, arrays.secondMask, spec.secondMaskShape),
  );

const differenceAt = ({ weights, arrays }, layer, head, query, key) =>
  arrays.differences[weights.row(layer, head, query) * weights.shape[3] + key] * arrays.differenceStep[0];

function sideBySide(ctx, width, { rows, columns, rowNames, columnNames }) {
  const left = nameWidth(ctx, rowNames) + 26;
  const below = nameWidth(ctx, columnNames) + 28;
  const cell = Math.max(0.2, Math.min(24, (width - left - 2 * BETWEEN.bar - BETWEEN.gap) / (3 * columns), 560 / rows));
  const size = cell * columns;
  const places = [left, left + size + BETWEEN.gap, left + 2 * size + BETWEEN.gap + BETWEEN.bar];
  const tables = places.map((x, i) => ({
    box: { x, y: BETWEEN.top, width: size, height: cell * rows },
    cell, below, named: i === 0, bar: i > 0, room: size + (i ? BETWEEN.bar - 6 : 0),
  }));
  return { tables, height: BETWEEN.top + cell * rows + below + 6 };
}

function belowEachOther(ctx, width, names) {
  const one = tableLayout(ctx, { width: width - 12, ...names, biggest: 24 });
  const tables = [0, 1, 2].map((i) => ({
    ...one, box: { ...one.box, y: BETWEEN.top + i * (one.height + BETWEEN.top) }, named: true, bar: true, room: width - one.box.x,
  }));
  return { tables, height: 3 * (one.height + BETWEEN.top) };
}

// The three pictures: two in the colours of weights, one in those of differences.
function tablesOf(data, state, { tables, scale }) {
  const { layer, head } = state;
  const second = secondOf(data);
  const seconds = remembered(data.cache, "seconds", [], () => new Map());
  const first = headRaster(data, state, layer, head, tables[0].box, scale);
  return [
    first,
    headRaster({ ...data, weights: second, cache: seconds }, state, layer, head, tables[1].box, scale),
    remembered(data.cache, "difference", [layer, head, data.colours.root, first.width, first.height], () => {
      const sees = (query, key) => [data.weights, second].some((weights) => weights.sees(layer, head, query, key));
      const value = (query, key) => (sees(query, key) ? differenceAt(data, layer, head, query, key) : NaN);
      return differenceRaster(data, value, first.height, first.width);
    }),
  ];
}

// Where many cells share a pixel, it shows the one that differs most, up or down.
function differenceRaster({ spec, arrays, colours }, value, height, width) {
  const [, , rows, columns] = spec.shape;
  const most = new Float32Array(height * width).fill(NaN);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const i = Math.floor((row * height) / rows) * width + Math.floor((column * width) / columns);
      const here = value(row, column);
      if (!(Math.abs(most[i]) >= Math.abs(here)) && here === here) most[i] = here;
    }
  }
  const share = (part) => (1 + Math.sign(part) * (colours.root ? Math.sqrt(Math.abs(part)) : Math.abs(part))) / 2;
  const shown = (row, column) => share(most[row * width + column] / (spec.most || 1));
  return raster(height, width, shown, new Colours(arrays.diverging, false));
}
