/** What the visitor draws on the picture: lines and zones to count at, the box of what is to be followed. */

import { element } from "./panel.js";

/** Two corners in shares of the picture, so that they hold for every size that is sent.
 * @typedef {[number, number, number, number]} Place */
/** @typedef {"line" | "zone" | "box"} Kind */

const LEAST = 0.02;                              // of the picture, for a place that is meant
const STEP = 0.02;                               // of an arrow key; with shift five times that
const SHADE = "#ffd400", LOST = "#ff7b72";
const SAID = {
  line: "Drag a line across the picture: who crosses it is counted.",
  zone: "Drag from one corner of a zone to the other: who is in it is counted.",
  box: "Drag a box around what is to be followed.",
};

export class Places {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("./paint.js").Painter} painter
   * @param {{changed: () => void, began: (kind: Kind) => void, ended: () => void, redraw: () => void, say: (text: string) => void}} on
   */
  constructor(canvas, painter, on) {
    this.canvas = canvas;
    this.painter = painter;
    this.on = on;
    /** @type {{line: Place[], zone: Place[], box: Place[]}} */
    this.drawn = { line: [], zone: [], box: [] };
    /** @type {("line" | "zone")[]} */
    this.order = [];                             // in which lines and zones were drawn
    /** @type {Kind | ""} */
    this.kind = "";                              // of what is being drawn
    /** @type {number[] | null} */
    this.from = null;
    this.to = [0.5, 0.5];
    this.byKeys = false;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.end());
    canvas.addEventListener("keydown", (event) => this.key(event));
    for (const kind of /** @type {Kind[]} */ (["line", "zone", "box"])) {
      document.getElementById(`draw-${kind}`)?.addEventListener("click", () => (this.kind === kind ? this.end() : this.begin(kind)));
    }
    document.getElementById("take-back")?.addEventListener("click", () => {
      const last = this.order.pop();
      if (last) this.drawn[last].pop();
      this.on.changed();
    });
  }

  /** The options of a task in pixels of the pictures that are sent; null while there is nothing for it.
   * @param {string} task @param {[number, number]} size @returns {Record<string, any> | null} */
  options(task, [width, height]) {
    /** @param {number} x @param {number} y */
    const point = (x, y) => `${(x * width).toFixed(1)},${(y * height).toFixed(1)}`;
    const { line, zone, box } = this.drawn;
    if (!width) return null;
    if (task === "follow") return box.length ? { box: box.map(([l, t, r, b]) => `${point(l, t)}:${point(r, b)}`)[0] } : null;
    if (!line.length && !zone.length) return null;
    return {
      line: line.map(([x, y, u, v]) => `${point(x, y)}:${point(u, v)}`),
      zone: zone.map(([l, t, r, b]) => [[l, t], [r, t], [r, b], [l, b]].map(([x, y]) => point(x, y)).join(":")),
    };
  }

  /** Begin to draw. @param {Kind} kind */
  begin(kind) {
    this.end();
    this.kind = kind;
    this.to = [0.5, 0.5];
    this.canvas.tabIndex = 0;
    this.canvas.classList.add("drawing");
    document.getElementById(`draw-${kind}`)?.setAttribute("aria-pressed", "true");
    this.on.say(`${SAID[kind]} Or by keys: arrows, Enter for each end, Escape to leave it.`);
    this.canvas.focus({ preventScroll: true });
    this.on.began(kind);
  }

  /** Nothing is drawn any more. */
  end() {
    if (!this.kind) return;
    document.getElementById(`draw-${this.kind}`)?.setAttribute("aria-pressed", "false");
    this.kind = "";
    this.from = null;
    this.byKeys = false;
    this.canvas.removeAttribute("tabindex");
    this.canvas.classList.remove("drawing");
    this.on.say("");
    this.on.ended();
  }

  /** What was drawn on a picture that is gone. @param {Kind} kind */
  forget(kind) { this.drawn[kind] = []; }

  /** @param {MouseEvent} event @returns {number[]} where it is, in shares of the picture */
  share(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - left) / width, (event.clientY - top) / height].map((one) => Math.max(0, Math.min(1, one)));
    return [this.painter.mirror ? 1 - x : x, y];
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (!this.kind || !event.isPrimary) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.from = this.to = this.share(event);
    this.byKeys = false;
    event.preventDefault();
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (!this.kind || !this.from || !event.isPrimary || this.byKeys) return;
    this.to = this.share(event);
    this.on.redraw();
  }

  /** @param {PointerEvent} event */
  up(event) {
    if (!this.kind || !this.from || !event.isPrimary || this.byKeys) return;
    this.to = this.share(event);
    this.take();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!this.kind) return;
    const step = event.shiftKey ? 5 * STEP : STEP, side = this.painter.mirror ? -1 : 1;
    /** @type {Record<string, [number, number]>} */
    const ways = { ArrowLeft: [-step * side, 0], ArrowRight: [step * side, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const way = ways[event.key];
    if (way) this.to = this.to.map((one, k) => Math.max(0, Math.min(1, one + way[k])));
    else if (event.key === "Enter" && !this.from) this.from = [...this.to];
    else if (event.key === "Enter") this.take();
    else if (event.key === "Escape") this.end();
    else return;
    this.byKeys = true;
    event.preventDefault();
    event.stopPropagation();
    this.on.redraw();
  }

  /** The place between the two ends, unless they are one. */
  take() {
    const [[x, y], [u, v]] = [this.from ?? [0, 0], this.to];
    const [wide, high] = [Math.abs(u - x), Math.abs(v - y)];
    const { kind } = this;
    if (!kind || (kind === "line" ? Math.hypot(wide, high) < LEAST : Math.min(wide, high) < LEAST)) {
      this.from = null;
      return;
    }
    /** @type {Place} */
    const place = kind === "line" ? [x, y, u, v] : [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
    if (kind === "box") this.drawn.box = [place];
    else {
      this.drawn[kind].push(place);
      this.order.push(kind);
    }
    this.end();
    this.on.changed();
  }

  /** Draw them over the picture. @param {any} record @param {Set<string>} active tasks */
  draw(record, active) {
    const { context, unit } = this.painter;
    context.save();
    context.lineWidth = 2.6 * unit;
    context.strokeStyle = context.fillStyle = SHADE;
    if (active.has("count")) {
      this.drawn.line.forEach((place, k) => this.line(place, record?.count?.totals?.[`line ${k + 1}`]));
      this.drawn.zone.forEach((place, k) => this.zone(place, record?.count?.inside?.[`zone ${k + 1}`]));
    }
    if (active.has("follow") && record?.follow?.lost) {
      context.fillStyle = LOST;
      this.text("lost, looking for it", this.spot([0.5, 0.08]));
    }
    context.fillStyle = SHADE;
    if (this.kind) this.unfinished();
    context.restore();
  }

  /** What is being drawn, or where the keys are. */
  unfinished() {
    const { context, unit } = this.painter;
    const [x, y] = this.spot(this.to);
    context.setLineDash([7 * unit, 5 * unit]);
    if (this.from && this.kind === "line") this.stroke([this.from, this.to]);
    else if (this.from) this.zone([...this.from, ...this.to]);
    if (!this.byKeys) return;
    context.setLineDash([]);
    context.strokeRect(x - 9 * unit, y, 18 * unit, 0);
    context.strokeRect(x, y - 9 * unit, 0, 18 * unit);
  }

  /** @param {number[]} share @returns {[number, number]} on the canvas */
  spot([x, y]) { return [(this.painter.mirror ? 1 - x : x) * this.canvas.width, y * this.canvas.height]; }

  /** @param {number[][]} points @param {boolean} [closed] */
  stroke(points, closed = false) {
    const { context } = this.painter;
    context.beginPath();
    for (const point of points) context.lineTo(...this.spot(point));
    if (closed) context.closePath();
    context.stroke();
  }

  /** A line with the count of either hand, on that side of it. @param {Place} place @param {Record<string, number> | undefined} totals */
  line([x, y, u, v], totals) {
    const { context, unit } = this.painter;
    const [a, b] = [this.spot([x, y]), this.spot([u, v])];
    const [dx, dy] = [b[0] - a[0], b[1] - a[1]], long = Math.hypot(dx, dy) || 1, hand = this.painter.mirror ? -1 : 1;
    const [nx, ny] = [(-dy / long) * hand, (dx / long) * hand];              // to the right hand of who looks along it
    const [mx, my] = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    this.stroke([[x, y], [u, v]]);
    for (const [cx, cy] of [a, b]) {
      context.beginPath();
      context.arc(cx, cy, 4.5 * unit, 0, 7);
      context.fill();
    }
    for (const [side, sign] of /** @type {[string, number][]} */ ([["right", 1], ["left", -1]])) {
      this.text(`${side} ${totals?.[side] ?? 0}`, [mx + nx * sign * 30 * unit, my + ny * sign * 22 * unit]);
    }
  }

  /** @param {number[]} place @param {number} [inside] how many are in it now */
  zone([l, t, r, b], inside) {
    this.stroke([[l, t], [r, t], [r, b], [l, b]], true);
    if (inside !== undefined) this.text(`${inside} inside`, this.spot([(l + r) / 2, t]));
  }

  /** @param {string} text @param {number[]} at its middle */
  text(text, [x, y]) {
    const { context, unit } = this.painter;
    const shade = context.fillStyle, size = Math.round(14 * unit), high = size + 8 * unit;
    context.font = `700 ${size}px system-ui, "DejaVu Sans", sans-serif`;
    context.textBaseline = "middle";
    context.textAlign = "center";
    const wide = context.measureText(text).width + 12 * unit;
    const left = Math.max(0, Math.min(x - wide / 2, this.canvas.width - wide));
    const top = Math.max(0, Math.min(y - high / 2, this.canvas.height - high));
    context.fillStyle = "#14171de6";
    context.fillRect(left, top, wide, high);
    context.fillStyle = shade;
    context.fillText(text, left + wide / 2, top + high / 2 + 1);
  }

  /** The counts in words. @param {any} record */
  show(record) {
    const list = document.getElementById("totals");
    const rows = Object.entries(record?.count?.totals ?? {}).map(([place, sides]) =>
      `${place}: ${Object.entries(/** @type {Record<string, number>} */ (sides)).filter(([side, n]) => n || side !== "lost")
        .map(([side, n]) => `${side} ${n}`).join(", ")}`);
    if (list && list.innerText !== rows.join("\n")) list.replaceChildren(...rows.map((row) => element("li", {}, row)));
  }
}
