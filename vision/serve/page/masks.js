/** COCO's run lengths, as records have them: a text or a list, down the columns, off first. */

/**
 * Run lengths of COCO's text, five bits a character, each as the difference from the one two before it.
 * @param {string | number[]} counts
 * @returns {number[]}
 */
export function runsOf(counts) {
  if (typeof counts !== "string") return counts;
  const runs = [];
  for (let at = 0; at < counts.length;) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const bits = counts.charCodeAt(at++) - 48;
      value |= (bits & 31) << shift;
      shift += 5;
      more = (bits & 32) !== 0;
      if (!more && bits & 16) value |= -1 << shift;
    }
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

/**
 * Tint the pixels of a mask.
 * @param {ImageData} image of the whole frame
 * @param {{size: [number, number], counts: string | number[]}} mask
 * @param {[number, number, number]} shade
 * @param {number} alpha of the inside, 0 to 255
 * @param {number} edge alpha of its border along the columns
 */
export function tint(image, mask, shade, alpha, edge = alpha) {
  const [height, width] = mask.size;
  if (height !== image.height || width !== image.width) return;
  const pixels = new Uint32Array(image.data.buffer);
  const inside = colour(shade, alpha), border = colour(shade, edge);
  let place = 0, on = false;
  for (const run of runsOf(mask.counts)) {
    if (on) {
      const end = Math.min(place + run, width * height);
      let x = Math.floor(place / height), y = place - x * height;
      for (let k = place; k < end; k++) {
        const rim = k - place < 2 || end - k <= 2;
        pixels[y * width + x] = rim ? border : inside;
        if (++y === height) { y = 0; x++; }
      }
    }
    place += run;
    on = !on;
  }
}

/** @param {[number, number, number]} shade @param {number} alpha @returns {number} as a pixel's 32 bits */
function colour([red, green, blue], alpha) {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
