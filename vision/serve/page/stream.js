/** The connection to the server: one picture under way, the newest next; it comes back by itself. */

const PAUSES_MS = [300, 700, 1500, 3000];
const PATIENCE_MS = 8000;                        // without an answer, after which the next picture goes

/** @typedef {{record?: any, sent?: number, server_ms?: number, skipped?: number, ready?: any, wait?: {ahead: number}, loading?: string,
 *   error?: string, code?: string, of?: "plan"}} Message */

export class Stream {
  /**
   * @param {{
   *   opened: () => void, lost: (pause: number) => Promise<boolean>, told: (message: Message) => void,
   *   shown: (time: number, picture: Blob) => void,
   * }} on what happens; lost: whether it is worth another try
   */
  constructor(on) {
    this.on = on;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.attempts = 0;
    this.sentAt = 0;                             // when the picture under way went; 0: none is
    this.waitUntil = 0;                          // the server is busy until then
    this.connect();
    addEventListener("online", () => this.connect());
  }

  /** Open the connection, unless it is open. */
  connect() {
    if (this.socket && this.socket.readyState <= WebSocket.OPEN) return;
    clearTimeout(this.timer);
    const socket = new WebSocket(new URL("v1/stream", document.baseURI.replace(/^http/, "ws")));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.attempts = 0;
      this.sentAt = 0;
      this.on.opened();
    };
    socket.onmessage = ({ data }) => this.heard(data);
    socket.onclose = async () => {
      this.sentAt = 0;
      const pause = PAUSES_MS[Math.min(this.attempts++, PAUSES_MS.length - 1)];
      if (await this.on.lost(pause)) this.timer = setTimeout(() => this.connect(), pause);
    };
    this.socket = socket;
  }

  /** @param {string | ArrayBuffer} data */
  heard(data) {
    if (typeof data !== "string") {
      this.on.shown(new DataView(data).getFloat64(0, true), new Blob([data.slice(8)], { type: "image/jpeg" }));
      return;
    }
    /** @type {Message} */
    const message = JSON.parse(data);
    if (message.wait) this.waitUntil = performance.now() + 400;
    if (message.record || message.error || message.wait) this.sentAt = 0;
    this.on.told(message);
  }

  get open() { return this.socket?.readyState === WebSocket.OPEN; }

  /** Whether a picture may go now. */
  get free() {
    const now = performance.now();
    return this.open && now > this.waitUntil && (!this.sentAt || now - this.sentAt > PATIENCE_MS);
  }

  /** @param {object} message */
  say(message) { if (this.open) this.socket?.send(JSON.stringify(message)); }

  /** @param {number} time in milliseconds @param {ArrayBuffer} picture */
  send(time, picture) {
    if (!this.open) return;
    const whole = new Uint8Array(8 + picture.byteLength);
    new DataView(whole.buffer).setFloat64(0, time, true);
    whole.set(new Uint8Array(picture), 8);
    this.sentAt = performance.now();
    this.socket?.send(whole);
  }
}
