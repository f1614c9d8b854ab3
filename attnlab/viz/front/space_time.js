// Weights over the frames of a clip: one frame large, all of them below it with the share of the weight each gets.

const THUMB_GAP = 6;
const NARROWEST_THUMB = 72;
const BELOW_THUMB = 34; // bar, number, gap

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// All frames below the large one, in as few rows as leave room for their numbers, all rows about equally long.
function stripLayout(frames, aspect, width, top) {
  const room = width - 8 + THUMB_GAP;
  const rows = Math.ceil(frames / Math.max(1, Math.floor(room / (NARROWEST_THUMB + THUMB_GAP))));
  const across = Math.ceil(frames / rows);
  const wide = Math.min(110, Math.floor(room / across) - THUMB_GAP);
  const tall = Math.max(24, Math.min(120, Math.round(wide / aspect)));
  const thumbs = Array.from({ length: frames }, (_, t) => ({
    x: 4 + (t % across) * (wide + THUMB_GAP),
    y: top + Math.floor(t / across) * (tall + BELOW_THUMB),
    width: wide,
    height: tall,
  }));
  return { thumbs, height: Math.ceil(frames / across) * (tall + BELOW_THUMB) };
}

// The share of each frame, for the query that asks.
function frameShares({ spec, arrays }, { layer, head, query }) {
  const [, heads, queries] = spec.shape;
  const start = ((layer * heads + head) * queries + query) * spec.keyGrid.t;
  return arrays.shares.subarray(start, start + spec.keyGrid.t);
}

const spaceTime = {
  pause: 500, // milliseconds a frame

  layout(ctx, width, { spec, pictures }, state) {
    const front = frontCells(ctx, spec, width);
    const { keyGrid: grid } = spec;
    const box = pictureBox(front, grid, pictures[state.frame], width, 270);
    const strip = stripLayout(grid.t, box.width / box.height, width, box.y + Math.max(box.height, 70) + 12);
    return { front, box, thumbs: strip.thumbs, height: box.y + Math.max(box.height, 70) + 12 + strip.height };
  },

  draw(ctx, layout, data, state, ink) {
    const { box, scale } = layout;
    const { pictures } = data;
    drawFront(ctx, layout, data, state, ink);
    drawOverlay(ctx, box, data, state, state.frame, pictures[state.frame], scale, ink);
    const bar = { x: box.x + box.width + 14, y: box.y + 6, height: Math.max(48, Math.min(box.height - 12, 160)) };
    colourBar(ctx, bar, data.colours, 0, topOf(data, state), ink);
    spaceTime.strip(ctx, layout, data, state, ink);
    spaceTime.marks(ctx, layout, data, state, ink);
  },

  strip(ctx, { thumbs, scale }, data, state, ink) {
    const shares = frameShares(data, state);
    ctx.textBaseline = "alphabetic";
    thumbs.forEach((thumb, t) => {
      drawOverlay(ctx, thumb, data, state, t, data.pictures[t], scale, ink);
      const under = thumb.y + thumb.height + 4;
      ctx.fillStyle = ink.line;
      ctx.fillRect(thumb.x, under, (thumb.width * shares[t]) / data.spec.highShare, 8);
      ctx.globalAlpha = 0.4;
      ctx.lineWidth = 1;
      ctx.strokeStyle = ink.text;
      ctx.strokeRect(thumb.x + 0.5, under + 0.5, thumb.width - 1, 7);
      ctx.globalAlpha = 1;
      ctx.fillStyle = ink.text;
      ctx.textAlign = "left";
      ctx.fillText(`t${t}`, thumb.x, under + 20);
      ctx.textAlign = "right";
      ctx.fillText(shares[t] > 0 && shares[t] < 0.001 ? "<0.001" : shares[t].toFixed(3), thumb.x + thumb.width, under + 20);
    });
  },

  // Who asks (dashed) and what is read (solid), in the large frame and in the strip.
  marks(ctx, layout, data, state, ink) {
    const { keyGrid: grid } = data.spec;
    const asking = keyOf(data.spec, state.query);
    if (asking !== null && asking < grid.before) dashed(ctx, layout.front.cells[asking]);
    if (asking !== null && asking >= grid.before) {
      const t = frameOf(grid, asking);
      if (t === state.frame) dashed(ctx, placeBox(layout.box, grid, asking - grid.before));
      dashed(ctx, placeBox(layout.thumbs[t], grid, asking - grid.before));
    }
    outline(ctx, layout.thumbs[state.frame], ink);
    outline(ctx, spaceTime.where(layout, data, state), ink);
  },

  pick(x, y, layout, { spec }, { frame }) {
    const key = keyAt(x, y, layout, spec.keyGrid, frame);
    return key === null ? null : { key };
  },

  click(x, y, layout, { spec }, { frame }) {
    const thumb = layout.thumbs.findIndex((one) => inside({ ...one, height: one.height + BELOW_THUMB - 8 }, x, y));
    if (thumb >= 0) return { frame: thumb, playing: 0 };
    const key = keyAt(x, y, layout, spec.keyGrid, frame);
    return key === null ? null : askFrom(spec, key);
  },

  act: (data, state, pressed) => (pressed === "Enter" ? askFrom(data.spec, state.key) : spaceTime.press(data, state)),

  move(pressed, { spec }, { key, frame }) {
    const { keyGrid: grid } = spec;
    const whole = grid.y * grid.x === 1 && key >= grid.before; // one place a frame: left and right go through time
    const by = { PageUp: -1, PageDown: 1, ...(whole ? { ArrowLeft: -1, ArrowRight: 1 } : {}) }[pressed];
    if (by) return { frame: Math.max(0, Math.min(grid.t - 1, frame + by)), playing: 0 };
    return stepPlace(pressed, key, grid, frame);
  },

  // The cursor stays in the frame that is shown, whichever of the two moved.
  settle(part, { spec }, state) {
    const { keyGrid: grid } = spec;
    const frame = Math.max(0, Math.min(grid.t - 1, state.frame));
    if (state.key < grid.before) return { frame };
    if ("key" in part) return { frame: frameOf(grid, state.key) };
    return { frame, key: state.key + (frame - frameOf(grid, state.key)) * grid.y * grid.x };
  },

  press({ spec }, { frame, playing }) {
    const last = spec.keyGrid.t - 1;
    if (calm()) return { frame: frame < last ? frame + 1 : 0 };
    if (playing) return { playing: 0 };
    return { playing: 1, frame: frame < last ? frame : 0 };
  },

  tick: ({ spec }, { frame }) => (frame < spec.keyGrid.t - 1 ? { frame: frame + 1 } : { playing: 0 }),

  controls({ spec, pictures }) {
    const { t } = spec.keyGrid;
    const label = ({ playing }) => (calm() ? "next frame" : playing ? "stop" : "play");
    const time = [
      { name: "play", button: label, press: spaceTime.press },
      { name: "frame", label: "frame", range: { min: 0, max: t - 1, step: 1 } },
    ];
    return [...(t > 1 ? time : []), ...queryControl(spec), ...(pictures.length ? [opacityControl] : []), ...scaleControl(spec)];
  },

  where({ box, front }, { spec: { keyGrid } }, { key }) {
    return key < keyGrid.before ? front.cells[key] : placeBox(box, keyGrid, key - keyGrid.before);
  },

  // While it plays, one sentence stays: a screen reader would read each frame's.
  says(data, state) {
    if (state.playing) return "Playing. Stop, or press Space, to read the weights of a frame.";
    const shares = frameShares(data, state);
    const most = shares.indexOf(Math.max(...shares));
    const frames = `Frame t${state.frame}: ${data.spec.shareName} ${number(shares[state.frame])}; most in t${most}, ${number(shares[most])}.`;
    return `${frames} ${sayPlace(data, state)}`;
  },
};
