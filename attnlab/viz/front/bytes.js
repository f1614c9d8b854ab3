// Coded bytes to numbers. The other half is views/coding.py.

function fromBase64(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i); // ten times as fast as Uint8Array.from
  return bytes;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, int16: Int16Array, float32: Float32Array };

// One deflated block holds all arrays, one after the other, as `spec.arrays` lists them.
async function unpack(spec, deflated) {
  const { buffer } = await inflate(deflated);
  const arrays = {};
  let at = 0;
  for (const { name, type, length } of spec.arrays) {
    const size = length * TYPES[type].BYTES_PER_ELEMENT;
    arrays[name] = new TYPES[type](buffer.slice(at, at + size));
    at += size;
  }
  return arrays;
}

// Weights (layer, head, query, key) in one or two bytes each: the square root of the share of the row's largest weight, so
// that small ones keep their digits. `mask` may have length one along any axis; without it everything may be seen.
class Weights {
  constructor(shape, codes, largest, mask, maskShape) {
    Object.assign(this, { shape, codes, largest, mask, maskShape });
    this.levels = 256 ** codes.BYTES_PER_ELEMENT - 1;
  }

  row(layer, head, query) {
    const [, heads, queries] = this.shape;
    return (layer * heads + head) * queries + query;
  }

  at(layer, head, query, key) {
    const row = this.row(layer, head, query);
    const share = this.codes[row * this.shape[3] + key] / this.levels;
    return share * share * this.largest[row];
  }

  sees(layer, head, query, key) {
    if (!this.mask) return true;
    const place = [layer, head, query, key];
    return this.mask[this.maskShape.reduce((i, size, axis) => i * size + (size > 1 ? place[axis] : 0), 0)] > 0;
  }

  // The keys of one query, largest weight first.
  strongest(layer, head, query, most = this.shape[3]) {
    const keys = Array.from({ length: this.shape[3] }, (_, key) => key).filter((key) => this.sees(layer, head, query, key));
    const all = keys.map((key) => ({ key, weight: this.at(layer, head, query, key) }));
    return all.sort((a, b) => b.weight - a.weight || a.key - b.key).slice(0, most);
  }
}
