// A gate over channels or time: a bar for each, of one input, with the mean of all inputs marked on it.

const gate = {
  layout(ctx, width, data, state) {
    const { spec, pictures } = data;
    const picture = pictures[state.query];
    const wide = picture ? Math.min(96, Math.round(width / 6)) : 0;
    const side = picture && { x: 0, y: 10, width: wide, height: Math.min(200, Math.round((wide * picture.naturalHeight) / picture.naturalWidth)) };
    const left = (picture ? wide + 14 : 0) + 52;
    const plot = { x: left, y: 26, width: width - left - 10, height: 200 };
    const each = Math.ceil(spec.shape[3] / Math.floor(plot.width)); // channels a bar
    const bars = Math.ceil(spec.shape[3] / each);
    return { picture, side, plot, each, bars, wide: plot.width / bars, height: plot.y + plot.height + (each > 1 ? 60 : 44) };
  },

  // The channels in the order in which they are drawn, and where each one stands in it.
  order({ spec, arrays, cache }, { layer, head, sort }) {
    const at = ["order", layer, head, sort].join();
    if (!cache.has(at)) {
      const [, heads, , channels] = spec.shape;
      const start = (layer * heads + head) * channels;
      const keys = Array.from({ length: channels }, (_, i) => (sort ? arrays.order[start + i] : i));
      const position = new Array(channels);
      keys.forEach((key, i) => (position[key] = i));
      cache.set(at, { keys, position });
    }
    return cache.get(at);
  },

  mean: ({ spec, arrays }, { layer, head }, key) => arrays.means[(layer * spec.shape[1] + head) * spec.shape[3] + key],

  // The largest of a bar's channels, and the largest mean among them.
  bar(layout, data, state, i) {
    const keys = gate.order(data, state).keys.slice(i * layout.each, (i + 1) * layout.each);
    const value = (key) => data.weights.at(state.layer, state.head, state.query, key);
    const key = keys.reduce((best, one) => (value(one) > value(best) ? one : best));
    return { key, value: value(key), mean: Math.max(...keys.map((one) => gate.mean(data, state, one))) };
  },

  draw(ctx, layout, data, state, ink) {
    const { plot, bars, wide } = layout;
    if (layout.picture) {
      ctx.imageSmoothingEnabled = layout.picture.naturalWidth > 64;
      ctx.drawImage(layout.picture, layout.side.x, layout.side.y, layout.side.width, layout.side.height);
    }
    gate.axes(ctx, layout, data, state, ink);
    const gap = wide >= 4 ? 1 : 0;
    const all = Array.from({ length: bars }, (_, i) => gate.bar(layout, data, state, i));
    const y = (value) => plot.y + plot.height * (1 - value / data.spec.high);
    ctx.fillStyle = ink.line;
    const edge = (i) => plot.x + (gap ? i * wide : Math.floor(i * wide)); // thin bars on whole pixels, else they flicker
    all.forEach(({ value }, i) => ctx.fillRect(edge(i), y(value), edge(i + 1) - edge(i) - gap, plot.y + plot.height - y(value)));
    if (data.spec.shape[2] > 1) gate.means(ctx, layout, all.map(({ mean }) => y(mean)), ink);
    outline(ctx, gate.where(layout, data, state), ink);
  },

  // A step at the height of each mean, with a seam of paper so that it is seen on the bar and beside it.
  means(ctx, { plot, wide }, heights, ink) {
    ctx.beginPath();
    heights.forEach((y, i) => {
      if (wide >= 4 || i === 0) ctx.moveTo(plot.x + i * wide, y);
      else ctx.lineTo(plot.x + i * wide, y);
      ctx.lineTo(plot.x + (i + 1) * wide - (wide >= 4 ? 1 : 0), y);
    });
    for (const [width, colour] of [[wide >= 4 ? 5 : 3, ink.paper], [wide >= 4 ? 2 : 1.2, ink.text]]) {
      ctx.lineWidth = width;
      ctx.strokeStyle = colour;
      ctx.stroke();
    }
  },

  axes(ctx, { plot, each, bars, wide }, data, state, ink) {
    const { spec } = data;
    ctx.fillStyle = ink.text;
    ctx.strokeStyle = ink.text;
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    ctx.lineWidth = 1;
    for (const share of [0, 0.5, 1]) {
      const y = Math.round(plot.y + plot.height * (1 - share)) + 0.5;
      ctx.globalAlpha = share ? 0.25 : 1;
      ctx.beginPath();
      ctx.moveTo(plot.x - 4, y);
      ctx.lineTo(plot.x + plot.width, y);
      ctx.stroke();
      ctx.globalAlpha = 1;
      ctx.fillText(number(share * spec.high), plot.x - 8, y);
    }
    const names = gate.order(data, state).keys.map((key) => spec.keyNames[key]);
    const room = Math.min(80, Math.max(...names.map((name) => ctx.measureText(name).width)));
    const step = Math.max(1, Math.ceil((room + 10) / wide));
    ctx.textAlign = "center";
    for (let i = 0; i < bars; i += step) {
      ctx.fillText(cut(ctx, names[i * each], Math.max(room, wide - 4)), plot.x + (i + 0.5) * wide, plot.y + plot.height + 12);
    }
    const sorted = state.sort ? `, ${spec.orderName}` : "";
    ctx.fillText(`${spec.axes.key}${sorted}`, plot.x + plot.width / 2, plot.y + plot.height + 32);
    if (each > 1) ctx.fillText(`each bar is the largest of ${each}`, plot.x + plot.width / 2, plot.y + plot.height + 48);
    ctx.textAlign = "left";
    const steps = spec.shape[2] > 1 ? `steps: mean of ${spec.shape[2]} inputs; ` : "";
    ctx.fillText(cut(ctx, `${steps}bars: ${spec.queryNames[state.query]}`, plot.width), plot.x, 10);
  },

  pick(x, y, layout, data, state) {
    const { plot, wide, bars } = layout;
    if (!inside(plot, x, y)) return null;
    return { key: gate.bar(layout, data, state, Math.min(bars - 1, Math.floor((x - plot.x) / wide))).key };
  },

  move(pressed, data, state) {
    const { keys, position } = gate.order(data, state);
    const to = { ArrowLeft: position[state.key] - 1, ArrowRight: position[state.key] + 1, Home: 0, End: keys.length - 1 }[pressed];
    return to === undefined ? null : { key: keys[Math.max(0, Math.min(keys.length - 1, to))] };
  },

  controls({ spec }) {
    const order = { name: "sort", label: "order", choices: ["as it came", spec.orderName] };
    return [...queryControl(spec), ...(spec.shape[3] > 1 ? [order] : [])];
  },

  // The bar on which the chosen channel stands.
  where({ plot, wide, each }, data, state) {
    const i = Math.floor(gate.order(data, state).position[state.key] / each);
    const value = gate.bar({ each }, data, state, i).value;
    const height = Math.max(2, (plot.height * value) / data.spec.high);
    return { x: plot.x + i * wide, y: plot.y + plot.height - height, width: Math.max(2, wide - (wide >= 4 ? 1 : 0)), height };
  },

  says(data, state) {
    const { spec, weights } = data;
    if (spec.shape[2] === 1) return sayWeight(data, state);
    const { layer, head, query, key } = state;
    const name = (one) => `${spec.axes.key} "${spec.keyNames[one]}"`;
    const beside = (one) => weights.at(layer, head, query, one) - gate.mean(data, state, one);
    const tell = (one) => `${number(weights.at(layer, head, query, one))} (mean ${number(gate.mean(data, state, one))})`;
    const far = gate.order(data, state).keys.reduce((best, one) => (Math.abs(beside(one)) > Math.abs(beside(best)) ? one : best));
    const where = spec.layerNames.length > 1 ? `${spec.layerNames[layer]}: ` : "";
    return `${where}input "${spec.queryNames[query]}", ${name(key)}: ${tell(key)}. Furthest from its mean: ${name(far)}, ${tell(far)}.`;
  },
};
