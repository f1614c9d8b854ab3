// The two shells: an island in a saved page, and a widget that Python keeps alive.

const VIEWS = { heatmap, heads, links, neuron, compare, overlay, space_time: spaceTime, gate };

async function loadPictures(sources) {
  return Promise.all(
    sources.map(async (source) => {
      const picture = new Image();
      picture.src = source;
      await picture.decode();
      return picture;
    }),
  );
}

async function prepare(spec, deflated) {
  return [spec, await unpack(spec, deflated), await loadPictures(spec.pictures || [])];
}

// Every island with this name that is still a picture comes alive.
export async function island(name, spec, data) {
  const prepared = await prepare(spec, fromBase64(data));
  for (const element of document.querySelectorAll(`[data-attnlab="${name}"]:not([data-alive])`)) {
    element.dataset.alive = "";
    const root = make("div", { class: "al-stage" });
    element.prepend(make("style", {}, STYLE), root);
    new Stage(root, ...prepared);
    element.querySelector("img").hidden = true;
  }
}

// For anywidget: Python sends another package, the stage shows it. The island that holds the place in the saved
// notebook steps aside for as long as the widget lives.
export default {
  async render({ model, el }) {
    const root = make("div", { class: "al-stage" });
    el.append(make("style", {}, STYLE), root);
    const bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    const now = () => prepare(model.get("package").spec, bytes(model.get("package").data));
    const stage = new Stage(root, ...(await now()));
    let newest = 0;
    model.on("change:package", async () => {
      const turn = ++newest;
      const prepared = await now();
      if (turn === newest) stage.show(...prepared); // an older answer that comes late is dropped
    });
    const standIns = () => document.querySelectorAll(`[data-attnlab="${model.get("stand_in")}"]`);
    for (const element of standIns()) element.hidden = true;
    return () => {
      stage.leave();
      for (const element of standIns()) element.hidden = false;
    };
  },
};
