// Colours: a table for weights that comes with the figure, and ink that follows the page's theme.

const LIGHT = { line: "#2166ac", chosen: "#b35806", positive: "#b35806", negative: "#2166ac" };
const DARK = { line: "#92c5de", chosen: "#fdb863", positive: "#fdb863", negative: "#92c5de" };

function inkOf(element) {
  const style = getComputedStyle(element);
  const text = style.color;
  const [r, g, b] = text.match(/[\d.]+/g).map(Number);
  const dark = 0.299 * r + 0.587 * g + 0.114 * b > 140; // light letters: a dark page
  return { text, paper: style.backgroundColor, dark, font: style.fontFamily, ...(dark ? DARK : LIGHT) };
}

// A colour of the table for a share between 0 and 1 of the largest value; "root" brightens small ones.
class Colours {
  constructor(table, root) {
    this.table = table;
    this.root = root;
  }

  index(share) {
    const clipped = Math.max(0, Math.min(1, share));
    return Math.round(255 * (this.root ? Math.sqrt(clipped) : clipped));
  }

  css(share) {
    const i = 3 * this.index(share);
    return `rgb(${this.table[i]}, ${this.table[i + 1]}, ${this.table[i + 2]})`;
  }
}

function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size < 0.001 || size >= 10000 ? value.toExponential(1) : value.toPrecision(3);
}

// Theme changes of Jupyter (attributes of the body) and of the system.
function onThemeChange(redraw) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", redraw);
  const observer = new MutationObserver(redraw);
  observer.observe(document.body, { attributes: true });
  return () => {
    system.removeEventListener("change", redraw);
    observer.disconnect();
  };
}
