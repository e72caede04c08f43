/** Files for the visitor: a snapshot, and the records as JSON lines. */

const MOST = 64 << 20;                           // characters of records that are kept

/** @param {Blob} blob @param {string} name */
function give(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const stamp = () => new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");

/** @param {HTMLCanvasElement} canvas the picture as it is seen */
export function snapshot(canvas) {
  canvas.toBlob((blob) => { if (blob) give(blob, `webcam-${stamp()}.png`); }, "image/png");
}

/** Records while it is on. */
export class Recorder {
  constructor() {
    this.on = false;
    /** @type {string[]} */
    this.lines = [];
    this.size = 0;
  }

  /** @param {any} record @returns {boolean} whether there is no more room */
  take(record) {
    if (!this.on) return false;
    const line = `${JSON.stringify(record)}\n`;
    this.lines.push(line);
    this.size += line.length;
    return this.size > MOST;
  }

  /** Begin, or end and hand over the file. @returns {number} records that were handed over */
  toggle() {
    this.on = !this.on;
    const count = this.lines.length;
    if (!this.on && count) give(new Blob(this.lines, { type: "application/x-ndjson" }), `webcam-${stamp()}.jsonl`);
    this.lines = [];
    this.size = 0;
    return this.on ? 0 : count;
  }
}
