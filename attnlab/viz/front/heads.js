// Small tables of all layers and heads; the chosen one is drawn large below.

const GAP = 6;

const heads = {
  layout(ctx, width, { spec }) {
    const [layers, count, rows, columns] = spec.shape;
    const left = nameWidth(ctx, spec.layerNames.map((name, i) => (layers > 1 ? String(i) : ""))) + 24;
    const small = Math.min(72, (width - left) / count - GAP);
    const tall = small * Math.min(1, Math.max(0.4, rows / columns));
    const top = 20;
    const below = top + layers * (tall + GAP) + 14;
    const large = tableLayout(ctx, { width, rows, columns, rowNames: spec.queryNames, columnNames: spec.keyNames, biggest: 22 });
    large.box.y += below;
    return { ...large, left, top, small, tall, height: below + large.height };
  },

  thumb: ({ left, top, small, tall }, layer, head) => ({
    x: left + head * (small + GAP),
    y: top + layer * (tall + GAP),
    width: small,
    height: tall,
  }),

  draw(ctx, layout, data, state, ink) {
    const [layers, count] = data.spec.shape;
    ctx.fillStyle = ink.text;
    ctx.textBaseline = "middle";
    for (let layer = 0; layer < layers; layer++) {
      for (let head = 0; head < count; head++) {
        const box = heads.thumb(layout, layer, head);
        hatch(ctx, box, ink);
        blit(ctx, headRaster(data, state, layer, head, box, layout.scale), box);
        ctx.textAlign = "center";
        ctx.fillStyle = ink.text;
        if (layer === 0 && layout.small > 14) ctx.fillText(data.spec.headNames[head], box.x + box.width / 2, 8);
      }
      ctx.textAlign = "right";
      if (layers > 1) ctx.fillText(String(layer), layout.left - 6, heads.thumb(layout, layer, 0).y + layout.tall / 2);
    }
    ctx.textAlign = "left";
    ctx.fillText(layers > 1 ? "layer" : "head", 0, 8);
    outline(ctx, heads.thumb(layout, state.layer, state.head), ink);
    heatmap.draw(ctx, layout, data, state, ink);
  },

  pick: heatmap.pick,

  click(x, y, layout, { spec }) {
    const head = Math.floor((x - layout.left) / (layout.small + GAP));
    const layer = Math.floor((y - layout.top) / (layout.tall + GAP));
    const inside = head >= 0 && head < spec.shape[1] && layer >= 0 && layer < spec.shape[0];
    return inside ? { layer, head } : null;
  },

  where: heatmap.where,
  says: sayWeight,
};
