// The stage on which every view plays: toolbar, canvas, the sentence below it, keys, pointer, theme and size.
//
// A view is an object with
//   layout(ctx, width, data, state)  -> {height, ...}            where things go
//   draw(ctx, layout, data, state, ink)                          paint them
//   pick(x, y, layout, data, state)  -> part of a state or null  what is under the pointer
//   says(data, state)                -> text                     the sentence below the figure
//   where(layout, data, state)       -> box                      where the chosen cell is
// and, where it needs them, controls(data), act(data, state, key), move(key, data, state), click(x, y, layout, data, state);
//   settle(part, data, state)        -> part of a state          what follows from a change, such as the frame of a cell
//   tick(data, state)                -> part of a state          the next moment, every `pause` ms while state.playing

const QUIET = { "data-lm-suppress-shortcuts": "true" }; // on each element that takes the focus: letters stay here

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

class Stage {
  constructor(root, spec, arrays, pictures) {
    this.root = root;
    this.canvas = make("canvas", { ...QUIET, tabindex: "0", role: "application" });
    this.canvas.setAttribute("aria-roledescription", "attention figure");
    this.title = make("div", { class: "al-title" });
    this.bar = make("div", { class: "al-bar", role: "group", "aria-label": "what is shown" });
    this.sentence = make("div", { class: "al-says", role: "status", "aria-live": "polite" });
    this.note = make("div", { class: "al-note" });
    root.append(this.title, this.bar, this.canvas, this.sentence, this.note);
    root.stage = this; // so that a test, or a curious reader, can ask where a cell is
    this.show(spec, arrays, pictures);
    this.listen();
  }

  // Show other data in the same place; what was chosen stays chosen where it still exists.
  show(spec, arrays, pictures) {
    const before = this.state || {};
    const sameView = this.spec && this.spec.view === spec.view;
    this.spec = spec;
    this.view = VIEWS[spec.view];
    const shape = spec.shape;
    const weights = new Weights(shape, arrays.codes, arrays.largest, arrays.mask, spec.maskShape);
    this.data = { spec, arrays, pictures, weights, cache: new Map() };
    const asked = this.asked || {};
    const stays = (axis, i) => before[axis] < shape[i] && asked[axis] === spec.asked[axis];
    const axes = ["layer", "head", "query", "key"];
    const kept = Object.fromEntries(axes.map((axis, i) => [axis, stays(axis, i) ? before[axis] : spec.start[axis]]));
    this.state = { ...spec.start, ...(sameView ? before : {}), ...kept };
    this.asked = spec.asked;
    this.settle(kept);
    this.title.textContent = spec.title;
    this.note.textContent = spec.note;
    this.canvas.setAttribute("aria-label", `${spec.title}. ${spec.keysHelp}`);
    const shown = JSON.stringify([spec.view, spec.shape, spec.layerNames, spec.headNames, spec.queryNames]);
    if (shown !== this.shown) this.furnish();
    this.shown = shown;
    this.draw();
  }

  // The controls above the picture: layer and head where there are several, then the view's own.
  furnish() {
    const { spec } = this;
    const controls = [];
    for (const [axis, names] of [["layer", spec.layerNames], ["head", spec.headNames]]) {
      if (names.length > 1) controls.push({ name: axis, label: axis, choices: names });
    }
    controls.push(...(this.view.controls ? this.view.controls(this.data) : []));
    if (spec.colour) controls.push({ name: "root", label: "colours", choices: ["linear", "small weights brighter"] });
    this.inputs = controls.map((control) => this.input(control));
    this.bar.replaceChildren(...this.inputs.map((input) => input.shown));
    this.bar.hidden = !controls.length;
  }

  input(control) {
    const { name, label, choices, range, button } = control;
    if (button) {
      const element = make("button", { ...QUIET, type: "button" }, button(this.state));
      element.addEventListener("click", () => this.change(control.press(this.data, this.state)));
      return { shown: element, refresh: () => (element.textContent = button(this.state)) };
    }
    const element = choices ? make("select", QUIET) : make("input", { ...QUIET, type: "range", ...range });
    if (choices) element.append(...choices.map((text, value) => make("option", { value }, text)));
    element.addEventListener("input", () => this.change({ [name]: Number(element.value) }));
    return {
      shown: make("label", {}, `${label} `, element),
      refresh: () => (element.value = Number(this.state[name])),
    };
  }

  listen() {
    const { canvas } = this;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointermove", (event) => {
      const found = this.view.pick(...place(event), this.layout, this.data, this.state);
      if (found) this.change(found);
    });
    canvas.addEventListener("click", (event) => {
      const clicked = this.view.click && this.view.click(...place(event), this.layout, this.data, this.state);
      if (clicked) this.change(clicked);
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    this.onCursor = (event) => this.follow(event.detail);
    document.addEventListener("attnlab:cursor", this.onCursor);
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(this.root);
    this.forgetTheme = onThemeChange(() => this.draw());
  }

  leave() {
    document.removeEventListener("attnlab:cursor", this.onCursor);
    this.resize.disconnect();
    this.forgetTheme();
    if (this.timer) clearInterval(this.timer);
  }

  key(event) {
    if (event.key === "Tab" || event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();
    if (event.key === "Escape") return this.canvas.blur();
    const act = event.key === "Enter" || event.key === " ";
    const own = act ? this.view.act && this.view.act(this.data, this.state, event.key) : this.view.move && this.view.move(event.key, this.data, this.state);
    const change = own || this.step(event.key);
    if (!change && !act) return;
    event.preventDefault();
    if (change) this.change(change);
  }

  step(key) {
    const steps = {
      ArrowLeft: ["key", -1], ArrowRight: ["key", 1], ArrowUp: ["query", -1], ArrowDown: ["query", 1],
      ",": ["head", -1], ".": ["head", 1], PageUp: ["layer", -1], PageDown: ["layer", 1],
      Home: ["key", -Infinity], End: ["key", Infinity],
    };
    if (!(key in steps)) return null;
    const [axis, by] = steps[key];
    const size = this.spec.shape[["layer", "head", "query", "key"].indexOf(axis)];
    return { [axis]: Math.max(0, Math.min(size - 1, this.state[axis] + by)) };
  }

  change(part) {
    if (Object.entries(part).every(([name, value]) => this.state[name] === value)) return;
    const before = { ...this.state };
    Object.assign(this.state, part);
    this.settle(part);
    this.draw();
    const { layer, head, query, key } = this.state;
    const cursor = { layer, head, query, key };
    if (Object.keys(cursor).every((axis) => cursor[axis] === before[axis])) return; // colours and such are its own
    const detail = { from: this, record: this.spec.record, ...cursor };
    document.dispatchEvent(new CustomEvent("attnlab:cursor", { detail }));
  }

  // Another view of the same record moved: move along.
  follow({ from, record, ...cursor }) {
    if (from === this || record !== this.spec.record || !this.root.isConnected) return;
    Object.assign(this.state, cursor);
    this.settle(cursor);
    this.draw();
  }

  settle(part) {
    if (this.view.settle) Object.assign(this.state, this.view.settle(part, this.data, this.state));
  }

  // Start or stop the clock, whichever the state asks for.
  pace() {
    const playing = Boolean(this.state.playing && this.view.tick);
    if (playing === Boolean(this.timer)) return;
    clearInterval(this.timer);
    this.timer = playing ? setInterval(() => this.tick(), this.view.pause) : null;
  }

  tick() {
    if (this.root.isConnected) return this.change(this.view.tick(this.data, this.state));
    this.state.playing = 0; // scrolled out of a long notebook: it stops, and can be played again
    this.pace();
  }

  draw() {
    const width = Math.min(this.root.clientWidth - 8, 900); // without the padding
    if (!width) return; // not on the page, or folded away; the resize observer calls again
    const ink = inkOf(this.root);
    this.data.colours = new Colours(this.data.arrays.colours, this.state.root === 1);
    const ctx = this.canvas.getContext("2d");
    ctx.font = `12px ${ink.font}`;
    this.layout = this.view.layout(ctx, width, this.data, this.state);
    const scale = window.devicePixelRatio || 1;
    const size = [Math.round(width * scale), Math.ceil(this.layout.height * scale)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) [this.canvas.width, this.canvas.height] = size;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${size[1] / scale}px`;
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    ctx.clearRect(0, 0, width, this.layout.height);
    ctx.font = `12px ${ink.font}`;
    this.view.draw(ctx, { ...this.layout, scale }, this.data, this.state, ink);
    this.pace();
    for (const input of this.inputs) input.refresh();
    const said = this.view.says(this.data, this.state);
    if (this.sentence.textContent !== said) this.sentence.textContent = said;
  }

  // Where on the canvas a cell is, in CSS pixels.
  where(cell = {}) {
    return this.view.where(this.layout, this.data, { ...this.state, ...cell });
  }
}

// "head 3, query "it": key "cat" 0.412. Most: ..." in the words of the record's axes.
function sayWeight({ spec, weights }, { layer, head, query, key }) {
  const names = [];
  if (spec.layerNames.length > 1) names.push(spec.layerNames[layer]);
  if (spec.headNames.length > 1) names.push(`head ${spec.headNames[head]}`);
  const where = names.length ? `${names.join(", ")}: ` : "";
  const pair = `${spec.axes.query} "${spec.queryNames[query]}", ${spec.axes.key} "${spec.keyNames[key]}"`;
  if (!weights.sees(layer, head, query, key)) return `${where}${pair}: hidden.`;
  const most = weights.strongest(layer, head, query, 3).map((link) => `"${spec.keyNames[link.key]}" ${number(link.weight)}`);
  return `${where}${pair}: ${number(weights.at(layer, head, query, key))}. Largest of this ${spec.axes.query}: ${most.join(", ")}.`;
}
