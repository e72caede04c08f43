/** A record drawn on a canvas over its picture. */

import { tint } from "./masks.js";
import { BONES, FACE_LINES, HAND_BONES, IRISES, PALETTE } from "./shapes.js";

/** @typedef {{label?: string, class_id?: number, score?: number, box: number[], id?: number, mask?: any, points?: number[][],
 *   pose?: {yaw: number, pitch: number, roll: number}, eyes?: any, hand?: string, gesture?: string, text?: string}} Seen */
/** @typedef {{mirror: boolean, labels: boolean, trails: boolean, hidden: Set<string>, over?: (record: any) => void}} Look */

const TRAIL_S = 1.5;
/** @type {[number, number, number]} */
const STRANGER = [120, 120, 120];

/** @param {number} key @returns {[number, number, number]} */
export const shadeOf = (key) => PALETTE[((key % PALETTE.length) + PALETTE.length) % PALETTE.length];
/** @param {[number, number, number]} shade @param {number} [alpha] */
export const css = (shade, alpha = 1) => `rgb(${shade[0]} ${shade[1]} ${shade[2]} / ${alpha})`;

/** The objects of a record whose boxes are worth a label: those of a tracker in place of its detector's.
 * @param {any} record @returns {[string, Seen[]][]} */
export function objectsOf(record) {
  const found = Object.entries(record).filter(([, value]) => Array.isArray(value?.objects));
  const tracked = found.some(([key]) => key === "track");
  return found.filter(([key]) => !(tracked && (key === "detect" || key === "instances")))
    .map(([key, value]) => [key, value.objects.filter((/** @type {Seen} */ one) => Array.isArray(one.box))]);
}

/** What something is counted as, and hidden by. @param {string} key of the task @param {Seen} one @returns {string} */
export const labelOf = (key, one) => one.label ?? key;

/** Draws records; remembers where tracks were. */
export class Painter {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    /** @type {Map<number, {time: number, x: number, y: number}[]>} */
    this.paths = new Map();
    this.overlay = new OffscreenCanvas(1, 1);
    this.scale = this.unit = 1;
    this.width = 640;
    this.mirror = false;
  }

  /** Forget where tracks were. */
  forget() { this.paths.clear(); }

  /** No picture. */
  clear() { this.context.clearRect(0, 0, this.canvas.width, this.canvas.height); }

  /**
   * Draw a picture and what was found in it.
   * @param {CanvasImageSource} picture @param {number} width @param {number} height of it, in its pixels
   * @param {any} record null: nothing is known yet
   * @param {Look} look
   */
  draw(picture, width, height, record, look) {
    const { context, canvas } = this;
    const most = Math.min(2, devicePixelRatio || 1) * (canvas.clientWidth || width);
    const wide = Math.round(Math.max(Math.min(width, 640), Math.min(most, 1280)));
    this.scale = wide / width;
    const high = Math.round(height * this.scale);
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    this.width = width;
    this.mirror = look.mirror;
    this.flipped(() => context.drawImage(picture, 0, 0, wide, high));
    this.unit = Math.max(0.7, Math.min(wide, high) / 480);
    if (!record) {
      look.over?.(null);
      return;
    }
    /** @type {{text: string, box: number[], shade: [number, number, number]}[]} */
    const labels = [];
    this.maps(record, look);
    this.masks(record, width, height, look);
    if (look.trails && record.track) this.trails(record.track.objects, record.time_s, look);
    for (const [key, objects] of objectsOf(record)) {
      for (const one of objects) {
        if (look.hidden.has(labelOf(key, one))) continue;
        const own = key === "instances" ? objects.indexOf(one) : one.class_id ?? 0;
        const shade = key !== "identify" ? shadeOf(one.id ?? own) : own ? shadeOf(own) : STRANGER;
        if (key === "faces") this.face(one, shade);
        else if (key === "pose") this.body(one, shade, BONES);
        else if (key === "hands") this.body(one, shade, HAND_BONES);
        else if (key === "blur") this.cover(one.box);
        else if (key !== "instances") this.box(one.box, shade);
        if (key !== "faces" || !record.identify) labels.push({ text: this.words(key, one), box: one.box, shade });
      }
    }
    if (look.labels) this.labels(labels);
    this.legend(record);
    look.over?.(record);
  }

  /** @param {() => void} draw with left and right exchanged where it is a mirror */
  flipped(draw) {
    const { context } = this;
    context.save();
    if (this.mirror) context.setTransform(-1, 0, 0, 1, this.canvas.width, 0);
    draw();
    context.restore();
  }

  /** @param {number} x of the frame @returns {number} of the canvas */
  x(x) { return (this.mirror ? this.width - x : x) * this.scale; }

  /** @param {number[]} box @returns {number[]} left, top, right, bottom on the canvas */
  place([left, top, right, bottom]) {
    const [a, b] = [this.x(left), this.x(right)];
    return [Math.min(a, b), top * this.scale, Math.max(a, b), bottom * this.scale];
  }

  /** @param {string} key @param {Seen} one @returns {string} */
  words(key, one) {
    if (key === "faces") {
      const [right, left] = [one.eyes?.right?.state, one.eyes?.left?.state];
      const eyes = right && right === left && right !== "unknown" ? `eyes ${right}` : "face";
      return [one.id, eyes].filter(Boolean).join(" ");
    }
    if (key === "identify") return [one.label, one.class_id ? one.score?.toFixed(2) : ""].filter(Boolean).join(" ");
    if (key === "text") return one.text ?? "";
    if (key === "hands") return [one.id, one.hand, one.gesture].filter(Boolean).join(" ");
    return [one.id, one.label, one.score?.toFixed(2)].filter((part) => part !== undefined).join(" ");
  }

  /** @param {number[]} box that nobody is to recognise anybody in */
  cover(box) {
    const [left, top, right, bottom] = this.place(box);
    this.context.fillStyle = "#30343c";
    this.context.fillRect(left, top, right - left, bottom - top);
  }

  /** @param {number[]} box @param {[number, number, number]} shade */
  box(box, shade) {
    const [left, top, right, bottom] = this.place(box);
    this.context.lineWidth = 2.2 * this.unit;
    this.context.strokeStyle = css(shade);
    this.context.strokeRect(left, top, right - left, bottom - top);
  }

  /** Labels stand above their box, or within, and cover no other.
   * @param {{text: string, box: number[], shade: [number, number, number]}[]} labels */
  labels(labels) {
    const { context, canvas } = this;
    const size = Math.round(14 * this.unit), pad = Math.round(4 * this.unit), high = size + pad + 2;
    context.font = `600 ${size}px system-ui, "DejaVu Sans", sans-serif`;
    context.textBaseline = "middle";
    /** @type {number[][]} */
    const taken = [];
    for (const { text, box, shade } of labels) {
      const [left, top, right, bottom] = this.place(box);
      const wide = context.measureText(text).width + 2 * pad;
      const x = Math.max(0, Math.min(left - 1, canvas.width - wide));
      const spots = [top - high, top, bottom - high, bottom].map((y) => Math.max(0, Math.min(y, canvas.height - high)));
      const y = spots.find((spot) => !taken.some(([l, t, r, b]) => x < r && x + wide > l && spot < b && spot + high > t));
      if (y === undefined || right <= left) continue;
      taken.push([x, y, x + wide, y + high]);
      context.fillStyle = css(shade);
      context.beginPath();
      context.roundRect(x, y, wide, high, 3 * this.unit);
      context.fill();
      context.fillStyle = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2] > 120 ? "#000" : "#fff";
      context.fillText(text, x + pad, y + high / 2 + 1);
    }
  }

  /** @param {Seen[]} tracks @param {number} time @param {Look} look */
  trails(tracks, time, look) {
    const { context } = this;
    for (const { id, box, label } of tracks) {
      if (id === undefined || look.hidden.has(label ?? "")) continue;
      const path = (this.paths.get(id) ?? []).filter((one) => time - one.time >= 0 && time - one.time < TRAIL_S);
      path.push({ time, x: (box[0] + box[2]) / 2, y: box[3] });
      this.paths.set(id, path);
      context.lineWidth = 2 * this.unit;
      context.lineCap = "round";
      for (let k = 1; k < path.length; k++) {
        context.strokeStyle = css(shadeOf(id), 0.15 + 0.85 * (k / path.length));
        context.beginPath();
        context.moveTo(this.x(path[k - 1].x), path[k - 1].y * this.scale);
        context.lineTo(this.x(path[k].x), path[k].y * this.scale);
        context.stroke();
      }
    }
    const there = new Set(tracks.map(({ id }) => id));
    for (const id of this.paths.keys()) if (!there.has(id)) this.paths.delete(id);
  }

  /** @param {any} record @param {number} width @param {number} height @param {Look} look */
  masks(record, width, height, look) {
    /** @type {Seen[]} */
    const found = record.instances?.objects ?? [];
    if (!found.length) return;
    const owner = new Map((record.track?.objects ?? []).map((/** @type {any} */ one) => [one.row, one.id]));
    this.layer(width, height, (image) => found.forEach((one, row) => {
      if (!one.mask?.counts || look.hidden.has(one.label ?? "")) return;
      tint(image, one.mask, shadeOf(owner.get(row) ?? row), 115, 235);
    }));
  }

  /** @param {any} record @param {Look} look */
  maps(record, look) {
    const areas = (record.segment?.areas ?? []).filter((/** @type {any} */ one) => one.rle && !look.hidden.has(one.label));
    if (!areas.length) return;
    const [height, width] = areas[0].rle.size;
    this.layer(width, height, (image) => areas.forEach((/** @type {any} */ one) => {
      tint(image, one.rle, classShade(one.class_id), 128);
    }));
  }

  /** @param {number} width @param {number} height @param {(image: ImageData) => void} fill */
  layer(width, height, fill) {
    const image = new ImageData(width, height);
    fill(image);
    [this.overlay.width, this.overlay.height] = [width, height];
    /** @type {OffscreenCanvasRenderingContext2D} */ (this.overlay.getContext("2d")).putImageData(image, 0, 0);
    this.flipped(() => this.context.drawImage(this.overlay, 0, 0, this.canvas.width, this.canvas.height));
  }

  /** @param {Seen} face @param {[number, number, number]} shade */
  face(face, shade) {
    const { context, scale } = this;
    const points = face.points ?? [];
    context.lineWidth = Math.max(1, ((face.box[2] - face.box[0]) * scale) / 150);
    context.strokeStyle = css(shade);
    for (const [line, closed] of FACE_LINES) {
      context.beginPath();
      for (const k of line) if (points[k]) context.lineTo(this.x(points[k][0]), points[k][1] * scale);
      if (closed) context.closePath();
      context.stroke();
    }
    context.strokeStyle = "#fff";
    for (const iris of IRISES) {
      const [centre, right, , left] = iris.map((k) => points[k]);
      if (!left) continue;
      context.beginPath();
      context.arc(this.x(centre[0]), centre[1] * scale, (Math.hypot(right[0] - left[0], right[1] - left[1]) / 2) * scale, 0, 7);
      context.stroke();
    }
    if (face.pose && points[1]) this.axes(face.pose, points[1], (face.box[2] - face.box[0]) / 2);
  }

  /** The head's axes: red to its left hand, green up, blue ahead.
   * @param {{yaw: number, pitch: number, roll: number}} pose @param {number[]} nose @param {number} length */
  axes(pose, nose, length) {
    const [y, p, r] = [-pose.yaw, -pose.pitch, pose.roll].map((angle) => (angle * Math.PI) / 180);
    const [cy, sy, cp, sp, cr, sr] = [Math.cos(y), Math.sin(y), Math.cos(p), Math.sin(p), Math.cos(r), Math.sin(r)];
    const across = [[cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp], [sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp]];
    const { context, scale } = this;
    context.lineWidth = 3 * this.unit;
    [[0, 1, "#e63c3c"], [1, -1, "#3cc83c"], [2, -1, "#1e78e6"]].forEach(([column, sign, shade]) => {
      const [dx, dy] = across.map((row) => row[Number(column)] * Number(sign) * length);
      context.strokeStyle = String(shade);
      context.beginPath();
      context.moveTo(this.x(nose[0]), nose[1] * scale);
      context.lineTo(this.x(nose[0] + dx), (nose[1] + dy) * scale);
      context.stroke();
    });
  }

  /** @param {Seen} body @param {[number, number, number]} shade @param {[number, number][]} bones */
  body(body, shade, bones) {
    const { context, scale } = this;
    const points = body.points ?? [];
    const thick = Math.max(1.2, Math.min(3 * this.unit, ((body.box[3] - body.box[1]) * scale) / 80));
    context.lineWidth = thick;
    context.strokeStyle = css(shade);
    for (const [a, b] of bones) {
      if (!((points[a]?.[2] ?? 1) >= 0.5 && (points[b]?.[2] ?? 1) >= 0.5)) continue;
      context.beginPath();
      context.moveTo(this.x(points[a][0]), points[a][1] * scale);
      context.lineTo(this.x(points[b][0]), points[b][1] * scale);
      context.stroke();
    }
    context.fillStyle = "#fff";
    for (const [x, y, score = 1] of points) {
      if (score < 0.5) continue;
      context.beginPath();
      context.arc(this.x(x), y * scale, thick, 0, 7);
      context.fill();
    }
  }

  /** What the whole frame shows, at its upper left. @param {any} record */
  legend(record) {
    /** @type {string[]} */
    const lines = [];
    for (const value of Object.values(record)) {
      if (value?.action !== undefined) {
        lines.push(value.action ? `${value.action.label} ${value.action.score.toFixed(2)}` : "no action yet");
      } else if (Array.isArray(value?.scores)) {
        lines.push(...value.scores.slice(0, 3).map((/** @type {any} */ one) => `${one.label} ${one.score.toFixed(2)}`));
      }
    }
    const { context } = this;
    const size = Math.round(15 * this.unit);
    context.font = `600 ${size}px system-ui, "DejaVu Sans", sans-serif`;
    context.textBaseline = "middle";
    lines.forEach((line, k) => {
      context.fillStyle = "#14171de6";
      context.fillRect(10, 10 + k * (size + 12), context.measureText(line).width + 18, size + 10);
      context.fillStyle = "#fff";
      context.fillText(line, 19, 10 + k * (size + 12) + (size + 10) / 2);
    });
  }
}

/** The colour of a class on a map: darker where the hues begin again. @param {number} label @returns {[number, number, number]} */
export function classShade(label) {
  const dim = 0.55 ** Math.floor(label / PALETTE.length);
  const [red, green, blue] = shadeOf(label);
  return [Math.round(red * dim), Math.round(green * dim), Math.round(blue * dim)];
}
