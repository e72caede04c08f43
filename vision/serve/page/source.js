/** Where pictures come from: the visitor's camera, a picture or a video that was dropped. */

/** Why there is no camera, and what to do. @param {unknown} error @returns {string} */
export function whyNoCamera(error) {
  if (!navigator.mediaDevices?.getUserMedia) {
    return isSecureContext
      ? "This browser has no camera for pages. Open a picture or a video, or try another browser."
      : `Browsers give a camera to secure pages only, and this one came over plain HTTP from ${location.hostname}. ` +
        "Start the server with --tls and open its https address, or open the page on the server's own machine as http://localhost. " +
        "Pictures, videos and the server's cameras work all the same.";
  }
  const name = error instanceof Error ? error.name : "";
  if (name === "NotAllowedError") return "The camera was not allowed. Allow it beside the address of this page, then press Use my camera again.";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "There is no camera on this device. Plug one in, or open a picture or a video.";
  if (name === "NotReadableError") return "The camera is there but another program holds it. Close that program, then try again.";
  return `The camera cannot be opened (${error}).`;
}

/** The cameras of this device. @returns {Promise<{id: string, name: string}[]>} */
export async function cameras() {
  const all = await navigator.mediaDevices?.enumerateDevices?.() ?? [];
  return all.filter(({ kind }) => kind === "videoinput")
    .map(({ deviceId, label }, k) => ({ id: deviceId, name: label || `Camera ${k + 1}` }));
}

/** @param {OffscreenCanvas} of @returns {OffscreenCanvasRenderingContext2D} */
export const context2d = (of) => /** @type {OffscreenCanvasRenderingContext2D} */ (of.getContext("2d", { alpha: false }));

/** Offer the sources there are in a picker: the visitor's cameras, the server's, files.
 * @param {HTMLSelectElement} select @param {Source} source that is used now */
export async function offer(select, source) {
  const own = navigator.mediaDevices ? await cameras() : [];
  const theirs = await fetch("v1/cameras").then((answer) => (answer.ok ? answer.json() : [])).catch(() => []);
  const before = select.value, file = source.kind === "picture" || source.kind === "video";
  /** @param {string} value @param {string} text */
  const option = (value, text) => new Option(text, value);
  select.replaceChildren(
    ...(source.kind ? [] : [option("", "Choose a source")]),
    ...(file ? [option("same", source.name)] : []),
    ...(own.length ? own : [{ id: "", name: "My camera" }]).map(({ id, name }) => option(`own:${id}`, name)),
    ...theirs.map((/** @type {any} */ one) => option(one.name, `The server's ${one.source.length < 3 ? "camera " : ""}${one.source}`)),
    option("file", "A picture or video…"));
  const device = source.kind === "camera" ? /** @type {MediaStream} */ (source.video.srcObject).getVideoTracks()[0].getSettings().deviceId : "";
  select.value = file ? "same" : source.kind === "camera" ? `own:${device}` : source.kind === "server" ? before : "";
  if (select.selectedIndex < 0) select.selectedIndex = 0;
}

/** A picture that changes: `picture` is drawn and sent, `time` is when it was taken. */
export class Source {
  constructor() {
    this.video = document.createElement("video");
    this.video.muted = this.video.playsInline = this.video.loop = true;
    /** @type {HTMLVideoElement | ImageBitmap | null} */
    this.picture = null;
    /** @type {"camera" | "video" | "picture" | "server" | ""} */
    this.kind = "";
    this.time = 0;                               // milliseconds of performance.now
    this.fresh = false;                          // since it was last sent
    this.skipped = 0;                            // pictures that a newer one replaced before they were sent
    this.name = "";
    this.onframe = () => {};                     // called with every picture of a video or a camera
    this.turn = 0;                               // of sources: what comes late for an earlier one is not taken
  }

  /** Width and height of the picture in its pixels. @returns {[number, number]} */
  get size() {
    if (this.picture instanceof HTMLVideoElement) return [this.picture.videoWidth, this.picture.videoHeight];
    return this.picture ? [this.picture.width, this.picture.height] : [0, 0];
  }

  /** The picture as it is now, as a JPEG. @returns {Promise<Blob | null>} */
  async snap() {
    const [width, height] = this.size;
    if (!this.picture || !width) return null;
    const share = Math.min(1, 1280 / Math.max(width, height));
    const one = new OffscreenCanvas(Math.round(width * share), Math.round(height * share));
    context2d(one).drawImage(this.picture, 0, 0, one.width, one.height);
    return one.convertToBlob({ type: "image/jpeg", quality: 0.95 });
  }

  /** Give the camera back; what was shown goes. */
  close() {
    this.turn++;
    const stream = /** @type {MediaStream | null} */ (this.video.srcObject);
    stream?.getTracks().forEach((track) => track.stop());
    this.video.srcObject = null;
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
    if (this.picture instanceof ImageBitmap) this.picture.close();
    this.picture = null;
    this.kind = "";
    this.fresh = false;
  }

  /** @param {string} device its id; empty: any @param {number} longest side @param {(why: string) => void} ended the camera is gone */
  async camera(device, longest, ended) {
    if (!navigator.mediaDevices?.getUserMedia) throw new Error("no getUserMedia");
    const turn = this.turn;
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: {
      width: { ideal: Math.max(640, longest) }, height: { ideal: Math.max(480, (longest * 3) / 4) }, frameRate: { ideal: 30 },
      ...(device ? { deviceId: { exact: device } } : { facingMode: "user" }),
    } });
    if (turn !== this.turn) {
      stream.getTracks().forEach((track) => track.stop());
      return;
    }
    stream.getVideoTracks()[0].addEventListener("ended", () => {
      if (turn === this.turn) ended("The camera is gone. Plug it in again, then press Use my camera.");
    });
    this.video.srcObject = stream;
    await this.play("camera");
    this.name = stream.getVideoTracks()[0].label || "camera";
  }

  /** @param {File} file a picture or a video. Throws an Error in words for anything else.
   * @param {(why: string) => void} ended the video is damaged further on */
  async file(file, ended) {
    const turn = this.turn;
    this.name = file.name;
    if (file.type.startsWith("video/")) {
      this.video.src = URL.createObjectURL(file);
      this.video.onerror = () => {
        if (turn === this.turn && this.kind) ended(`${file.name} is damaged: it cannot be played to its end.`);
      };
      await this.play("video").catch(() => {
        throw new Error(`${file.name} cannot be played by this browser. MP4 with H.264 and WebM can.`);
      });
      return;
    }
    const picture = await createImageBitmap(file).catch(() => {
      throw new Error(`${file.name} is neither a picture nor a video that this browser can read.`);
    });
    if (turn !== this.turn) return;
    this.picture = picture;
    this.kind = "picture";
    this.time = performance.now();
    this.fresh = true;
  }

  /** A picture of one of the server's cameras. @param {ImageBitmap} picture @param {number} time */
  server(picture, time) {
    if (this.picture instanceof ImageBitmap) this.picture.close();
    [this.picture, this.kind, this.time] = [picture, "server", time];
  }

  /** @param {"camera" | "video"} kind */
  async play(kind) {
    const turn = this.turn;
    await this.video.play();
    if (turn !== this.turn) return;
    this.picture = this.video;
    this.kind = kind;
    this.time = performance.now();
    this.fresh = true;
    /** @param {number} now @param {any} about */
    const came = (now, about) => {
      if (turn !== this.turn) return;
      this.time = about.captureTime ?? now;
      if (this.fresh) this.skipped++;
      this.fresh = true;
      this.onframe();
      this.video.requestVideoFrameCallback(came);
    };
    this.video.requestVideoFrameCallback(came);
  }
}
