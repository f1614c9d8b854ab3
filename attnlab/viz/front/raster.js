// Tables of numbers as pixels.

// value(row, column) between 0 and 1, or NaN where nothing may be seen, into a small canvas, one pixel a cell. Where
// there are more cells than `most` pixels, a pixel shows the largest of its cells, so that thin lines stay visible.
function raster(rows, columns, value, colours, mostRows = rows, mostColumns = columns) {
  const height = Math.max(1, Math.min(rows, Math.floor(mostRows)));
  const width = Math.max(1, Math.min(columns, Math.floor(mostColumns)));
  const largest = new Float32Array(width * height).fill(NaN);
  for (let row = 0; row < rows; row++) {
    const y = Math.floor((row * height) / rows) * width;
    for (let column = 0; column < columns; column++) {
      const share = value(row, column);
      const i = y + Math.floor((column * width) / columns);
      if (!(largest[i] >= share) && share === share) largest[i] = share;
    }
  }
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const image = new ImageData(width, height);
  for (let i = 0; i < largest.length; i++) {
    if (largest[i] !== largest[i]) continue; // hidden: stays transparent
    const colour = 3 * colours.index(largest[i]);
    image.data[4 * i] = colours.table[colour];
    image.data[4 * i + 1] = colours.table[colour + 1];
    image.data[4 * i + 2] = colours.table[colour + 2];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// Thin diagonal lines: what may not be seen is hatched, and never taken for a weight of zero.
function hatch(ctx, box, ink) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.x, box.y, box.width, box.height);
  ctx.clip();
  ctx.strokeStyle = ink.text;
  ctx.globalAlpha = 0.3;
  ctx.lineWidth = 1;
  ctx.beginPath();
  for (let x = box.x - box.height; x < box.x + box.width; x += 6) {
    ctx.moveTo(x, box.y + box.height);
    ctx.lineTo(x + box.height, box.y);
  }
  ctx.stroke();
  ctx.restore();
}

function blit(ctx, picture, box) {
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(picture, box.x, box.y, box.width, box.height);
}

// A frame that is seen on light and on dark cells alike.
function outline(ctx, box, ink) {
  for (const [width, colour] of [[4, ink.dark ? "#000" : "#fff"], [2, ink.chosen]]) {
    ctx.lineWidth = width;
    ctx.strokeStyle = colour;
    ctx.strokeRect(box.x - 1, box.y - 1, box.width + 2, box.height + 2);
  }
}

// The scale of a table: from `low` at the bottom to `high` at the top.
function colourBar(ctx, box, colours, low, high, ink) {
  for (let i = 0; i < box.height; i++) {
    const share = 1 - i / Math.max(1, box.height - 1);
    ctx.fillStyle = colours.css(colours.root ? share * share : share);
    ctx.fillRect(box.x, box.y + i, 12, 1.5);
  }
  ctx.fillStyle = ink.text;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  for (const share of [0, 0.5, 1]) {
    const level = colours.root ? share * share : share;
    ctx.fillText(number(low + (high - low) * level), box.x + 17, box.y + box.height * (1 - share));
  }
}
