// One table of weights: rows ask, columns are asked.

const heatmap = {
  layout(ctx, width, { spec }) {
    const [, , rows, columns] = spec.shape;
    return tableLayout(ctx, { width, rows, columns, rowNames: spec.queryNames, columnNames: spec.keyNames });
  },

  draw(ctx, layout, data, state, ink) {
    const { box } = layout;
    const { spec } = data;
    hatch(ctx, box, ink);
    blit(ctx, headRaster(data, state, state.layer, state.head, box, layout.scale), box);
    drawNames(ctx, layout, spec.queryNames, spec.keyNames, spec.axes, ink);
    const height = Math.min(box.height, 160);
    colourBar(ctx, { x: box.x + box.width + 14, y: box.y, height }, data.colours, 0, spec.high, ink);
    outline(ctx, cellBox(layout, state.query, state.key), ink);
  },

  pick: (x, y, layout, { spec }) => pickCell(layout, x, y, spec.shape[2], spec.shape[3]),
  where: (layout, data, { query, key }) => cellBox(layout, query, key),
  says: sayWeight,
};
