/** How fast results come and how old they are when they are seen. */

const KEPT = 240;

export class Meters {
  constructor() {
    /** @type {number[]} */
    this.delays = [];
    /** @type {number[]} */
    this.times = [];
    /** @type {number[]} */
    this.server = [];                            // milliseconds of each that the server took
    this.skipped = 0;
    this.chart = /** @type {HTMLCanvasElement} */ (document.getElementById("chart"));
    setInterval(() => this.show(), 250);
  }

  /** @param {number} delay in milliseconds, from the camera to the result @param {number} server its part of that
   * @param {number} skipped */
  add(delay, server, skipped) {
    this.delays.push(delay);
    this.server.push(server);
    if (this.server.length > KEPT) this.server.shift();
    this.times.push(performance.now());
    if (this.delays.length > KEPT) this.delays.shift();
    if (this.times.length > 60) this.times.shift();
    this.skipped += skipped;
  }

  /** Begin anew. */
  forget() {
    this.delays = [];
    this.server = [];
    this.times = [];
    this.skipped = 0;
  }

  /** @param {number} share of the delays that are shorter, 0 to 1 @param {number[]} [of] @returns {number} milliseconds */
  quantile(share, of = this.delays) {
    const sorted = [...of].sort((a, b) => a - b);
    return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : 0;
  }

  /** Results a second. */
  get rate() {
    const recent = this.times.filter((time) => performance.now() - time < 2000);
    return recent.length > 1 ? ((recent.length - 1) * 1000) / (recent[recent.length - 1] - recent[0]) : 0;
  }

  /** Write the numbers and draw the chart. */
  show() {
    const half = this.quantile(0.5), most = this.quantile(0.95);
    set("rate", this.rate.toFixed(this.rate < 10 ? 1 : 0));
    set("delay", half.toFixed(0));
    set("skipped", String(this.skipped));
    const said = /** @type {HTMLElement} */ (document.getElementById("latency"));
    if (!this.delays.length) return;
    said.textContent = `half within ${half.toFixed(0)} ms, 95 % within ${most.toFixed(0)} ms`;
    said.dataset.server = this.quantile(0.5, this.server).toFixed(1);
    said.dataset.p50 = half.toFixed(1);
    said.dataset.p95 = most.toFixed(1);
    said.dataset.count = String(this.delays.length);
    this.chart.setAttribute("aria-label", `Delay of the last ${this.delays.length} results: ${said.textContent}`);
    this.draw(most);
  }

  /** @param {number} most */
  draw(most) {
    const context = this.chart.getContext("2d");
    if (!context || !this.chart.checkVisibility?.()) return;
    const style = getComputedStyle(document.documentElement);
    const { width, height } = this.chart, top = Math.max(100, 1.3 * most), step = width / KEPT;
    context.clearRect(0, 0, width, height);
    context.font = "20px system-ui, sans-serif";
    context.fillStyle = style.getPropertyValue("--faint");
    context.fillText(`${top.toFixed(0)} ms`, 8, 24);
    context.fillStyle = style.getPropertyValue("--accent");
    this.delays.forEach((delay, k) => {
      const high = Math.min(1, delay / top) * (height - 6);
      context.fillRect(width - (this.delays.length - k) * step, height - high, Math.max(1, step - 0.6), high);
    });
    context.fillStyle = style.getPropertyValue("--warn");
    context.fillRect(0, height - (most / top) * (height - 6), width, 2);
  }
}

/** @param {string} id @param {string} text */
function set(id, text) {
  const place = /** @type {HTMLElement} */ (document.getElementById(id));
  if (place.textContent !== text) place.textContent = text;
}
