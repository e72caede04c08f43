/** The page: a source's pictures go to the server one by one, and are drawn with what was found in them. */

import { Meters } from "./meters.js";
import { exchange, hush, link, notice } from "./notice.js";
import { Painter } from "./paint.js";
import { element, KEYS, Plan, SeenList, tally } from "./panel.js";
import { People } from "./people.js";
import { Places } from "./places.js";
import { Recorder, snapshot } from "./save.js";
import { context2d, offer, Source, whyNoCamera } from "./source.js";
import { Stream } from "./stream.js";

/** @param {string} id @returns {any} */
const at = (id) => document.getElementById(id);
const canvas = /** @type {HTMLCanvasElement} */ (at("canvas"));
const painter = new Painter(canvas), source = new Source(), meters = new Meters(), seen = new SeenList(), recorder = new Recorder();
const places = new Places(canvas, painter, {
  changed: () => ask(), redraw: () => again(), say: (text) => (text ? notice(text, "draw") : hush("draw")),
  began: (kind) => { if (kind === "box") freeze(); },
  ended: () => { if (!places.drawn.box.length) frozen = unanswered = null; },
});
const people = new People(() => ask(), () => source.snap());
const plan = new Plan(() => ask(), (task) => (task === "identify" ? people.options() : places.options(task, size)));
const look = {
  mirror: false, labels: true, trails: true, hidden: seen.hidden,
  over: (/** @type {any} */ found) => places.draw(found, plan.active),
};

/** The picture under way, and the last one that was answered: each canvas is used in turn.
 * @type {{time: number, turn: number, canvas: OffscreenCanvas}[]} */
const sent = [0, 1].map(() => ({ time: 0, turn: 0, canvas: new OffscreenCanvas(1, 1) }));
let paused = false, encoding = false, ready = false, planned = false, waiting = "", drawnAt = 0, next = 0;
/** Of the pictures that are sent or come. @type {[number, number]} */
let size = [0, 0];
/** A picture that stands still while a box is drawn on it, and is then the first to be looked at.
 * @typedef {{time: number, canvas: OffscreenCanvas} | null} Frozen @type {Frozen} */
let frozen = null;
/** One that is under way: a server that is busy has not looked at it. @type {Frozen} */
let unanswered = null;
/** The last one that was drawn; and of those, one of a plan that is over, which counts no more. @type {any} */
let record = null, over = null;
/** @type {Promise<ImageBitmap> | null} */
let shown = null;

const stream = new Stream({ opened, lost, told, shown: (time, picture) => { shown = createImageBitmap(picture); } });

// --- the server ---------------------------------------------------------------------------------------------------

async function opened() {
  link("open", "connected");
  hush("server");
  await tasks();
  const theirs = at("source").value.startsWith("camera:");
  stream.say({ source: theirs ? at("source").value : null });
  if (source.kind === "server" && !theirs) ended("The server has that camera no more. Choose another source.");
  ask();
}

/** @param {number} pause @returns {Promise<boolean>} whether to try again: not where the server is there, and refuses */
async function lost(pause) {
  ready = planned = false;
  unanswered = null;
  link("lost", "the server is not there");
  notice(`The server is not there. Trying again${pause > 1000 ? ` every ${Math.round(pause / 1000)} s` : ""}: nothing is lost, and the page goes on by itself.`, "server");
  const answer = await fetch("v1/tasks", { signal: AbortSignal.timeout(3000) }).catch(() => null);
  if (!answer || answer.status !== 401 && answer.status !== 429) return true;
  const { text, code } = await refusal(answer);
  if (code === "rate") return true;
  link("lost", "the server refuses");
  notice(text, "server");
  return false;
}

/** Why the server refuses. @param {Response} answer @returns {Promise<{text: string, code: string}>} */
async function refusal(answer) {
  const { error, code } = await answer.json().catch(() => ({}));
  const text = code === "token" ? "This server wants a token. Open the address that it printed, with ?token= in it." : error ?? answer.statusText;
  return { text, code };
}

async function tasks() {
  try {
    const answer = await fetch("v1/tasks");
    if (!answer.ok) throw new Error((await refusal(answer)).text);
    const wanted = (new URLSearchParams(location.search).get("do") ?? "track").split(",");
    plan.offer(await answer.json(), wanted);
    await list();
    const begin = new URLSearchParams(location.search).get("source");
    if (begin && !source.kind && [...at("source").options].some(({ value }) => value === begin)) useServer(begin);
  } catch (error) {
    notice(error instanceof Error ? error.message : String(error), "bad");
  }
}

/** Ask for the plan that is chosen. */
function ask() {
  if (!plan.tasks.length) return;
  const { asked } = plan;
  ready = false;
  if (Object.keys(asked).length) stream.say({ plan: asked });
  else {
    record = null;
    seen.forget();
  }
}

/** @param {import("./stream.js").Message} message */
function told(message) {
  if (message.ready) {
    ready = planned = true;
    waiting = "";
    plan.loading("");
    plan.running(message.ready.models);
    over = record;
    seen.forget();
    painter.forget();
    meters.forget();
    link("open", "connected");
    hush("busy");
    if (source.kind === "picture") source.fresh = true;
  } else if (message.loading) {
    waiting = message.loading;
    plan.loading(waiting);
    link("waiting", `loading ${waiting}`);
  } else if (message.wait) {
    link("waiting", `busy: ${message.wait.ahead} ahead`);
    notice(`The server is busy: ${message.wait.ahead} ahead of you. This goes on by itself.`, "busy");
    if (source.kind === "picture") source.fresh = true;
    frozen ??= unanswered;
    setTimeout(pump, 450);
  } else if (message.error) {
    frozen = unanswered = null;
    if (message.code === "camera" && source.kind === "server") forget();
    plan.loading("");
    if (message.of === "plan") ready = planned;           // the plan before it goes on
    notice(message.error, "bad", 8000);
  } else if (message.record?.kind === "frame") {
    if (frozen === unanswered) frozen = null;
    unanswered = null;
    answered(message);
  }
  pump();
}

/** @param {import("./stream.js").Message} message */
async function answered(message) {
  const came = message.record;
  hush("busy");
  if (recorder.take(came)) {
    record_();
    notice("The recording is full and was handed over.", "info", 6000);
  }
  const { turn } = source;
  if (source.kind === "server") {
    const picture = await shown;
    if (!picture || paused || turn !== source.turn) return;
    source.server(picture, message.sent ?? 0);
    resized([picture.width, picture.height]);
    draw(picture, picture.width, picture.height, came);
    meters.add(message.server_ms ?? 0, message.server_ms ?? 0, message.skipped ?? 0);
  } else {
    const of = sent.find((one) => one.time === message.sent && one.turn === turn);
    if (!of || frozen || paused && source.kind !== "picture") return;
    draw(of.canvas, of.canvas.width, of.canvas.height, came);
    meters.add(performance.now() - of.time, message.server_ms ?? 0, (message.skipped ?? 0) + source.skipped);
    source.skipped = 0;
  }
  if (!document.body.dataset.first) document.body.dataset.first = performance.now().toFixed(0);
}

// --- pictures -----------------------------------------------------------------------------------------------------

/** Send the newest picture, unless one is under way. */
async function pump() {
  const held = frozen;
  if (!ready || encoding || !(source.fresh || held) || !stream.free || !source.picture || places.kind === "box") return;
  if (paused && source.kind !== "picture") return;
  const [width, height] = source.size;
  if (!width) return;
  encoding = true;
  try {
    const share = Math.min(1, Number(at("size").value) / Math.max(width, height));
    if (resized([Math.max(1, Math.round(width * share)), Math.max(1, Math.round(height * share))])) return;
    const one = sent[next++ % 2];
    [one.canvas.width, one.canvas.height] = size;
    context2d(one.canvas).drawImage(held?.canvas ?? /** @type {CanvasImageSource} */ (source.picture), 0, 0, ...size);
    one.turn = source.turn;
    one.time = held?.time ?? (source.kind === "picture" ? performance.now() : source.time);
    [frozen, unanswered] = [null, held];
    if (!held) source.fresh = false;
    const picture = await one.canvas.convertToBlob({ type: "image/jpeg", quality: source.kind === "picture" ? 0.92 : 0.8 });
    stream.send(one.time, await picture.arrayBuffer());
  } finally {
    encoding = false;
  }
}

/** Pictures have this size from now on; what was drawn is asked for anew in its pixels. @param {[number, number]} now
 * @returns {boolean} whether that was necessary */
function resized(now) {
  const other = size[0] !== now[0] || size[1] !== now[1];
  size = now;
  const matters = other && Object.values(places.drawn).some((some) => some.length);
  if (matters) ask();
  return matters;
}

/** The picture stands still, to be drawn on. */
function freeze() {
  const [width, height] = source.size;
  if (!source.picture || !width || source.kind === "server") return;
  const share = Math.min(1, Number(at("size").value) / Math.max(width, height));
  const one = new OffscreenCanvas(Math.max(1, Math.round(width * share)), Math.max(1, Math.round(height * share)));
  context2d(one).drawImage(/** @type {CanvasImageSource} */ (source.picture), 0, 0, one.width, one.height);
  frozen = { time: source.time, canvas: one };
  again();
}

source.onframe = pump;

/** What comes without a picture: it is sent, and a video is shown as it is while no result comes. */
function tick() {
  pump();
  const patience = Math.max(1000, 4 * meters.quantile(0.5));
  const late = performance.now() - drawnAt > patience && !(source.kind === "picture" && record);
  if (source.picture && source.kind !== "server" && !paused && !frozen && late) {
    const [width, height] = source.size;
    if (width) draw(source.picture, width, height, null, false);
  }
  if (source.kind === "video" && !at("seek").matches(":active")) {
    at("seek").value = String(Math.round((1000 * source.video.currentTime) / (source.video.duration || 1)));
  }
  requestAnimationFrame(tick);
}
requestAnimationFrame(tick);

/** @param {CanvasImageSource} picture @param {number} width @param {number} height @param {any} found @param {boolean} [result] */
function draw(picture, width, height, found, result = true) {
  fit(width, height);
  painter.draw(picture, width, height, found, look);
  if (!result) return;
  drawnAt = performance.now();
  record = found;
  canvas.dataset.frame = String(found.frame);
}

/** As large as the stage allows, without a stretch. @param {number} width @param {number} height */
function fit(width, height) {
  const { clientWidth, clientHeight } = at("stage");
  const scale = Math.min(clientWidth / width, clientHeight / height);
  canvas.style.width = `${Math.round(width * scale)}px`;
  canvas.style.height = `${Math.round(height * scale)}px`;
}

/** What is seen, in rows and in words. */
function count() {
  if (!record || record === over) return;
  const counts = tally(record);
  seen.show(counts);
  places.show(record);
  const words = [...counts].map(([label, one]) => `${one.count} ${label}`).join(", ") || "nothing";
  canvas.setAttribute("aria-label", `The picture, in which is seen: ${words}`);
  return words;
}
setInterval(count, 250);
let spoken = "";
setInterval(() => {
  const words = count() ?? "";
  if (words && words !== spoken) at("spoken").textContent = `Seen: ${words}`;
  spoken = words;
}, 5000);

// --- what the visitor does ----------------------------------------------------------------------------------------

/** Begin with a source. @param {() => Promise<void>} begin @param {boolean} mirror */
async function use(begin, mirror) {
  source.close();
  const { turn } = source;
  forget();
  try {
    setPaused(false);
    places.end();
    places.forget("box");
    frozen = unanswered = null;
    await begin();
    if (turn !== source.turn) return;
    look.mirror = mirror;
    begun();
  } catch (error) {
    if (turn !== source.turn) return;
    source.close();
    at("start").hidden = false;
    at("meters").hidden = at("seek").hidden = true;
    for (const id of ["pause", "mirror", "snapshot"]) at(id).disabled = true;      // a recording can still be ended
    const why = error instanceof Error && !(error instanceof DOMException) && error.message !== "no getUserMedia" ? error.message : whyNoCamera(error);
    at("start-text").textContent = why;
    at("start").dataset.why = error instanceof Error ? error.name : "";
  }
}

function begun() {
  at("start").hidden = true;
  at("meters").hidden = false;
  at("seek").hidden = source.kind !== "video";
  at("mirror").setAttribute("aria-pressed", String(look.mirror));
  for (const id of ["pause", "mirror", "record", "snapshot"]) at(id).disabled = false;
}

/** What was seen goes with its picture: another source begins, or this one fails. */
function forget() {
  record = null;
  drawnAt = 0;
  meters.forget();
  painter.forget();
  painter.clear();
  seen.forget();
  places.show(null);
  delete canvas.dataset.frame;
  canvas.setAttribute("aria-label", "No picture yet");
  at("spoken").textContent = "";
}

/** @param {string} why */
async function ended(why) {
  await use(() => Promise.reject(new Error(why)), false);
  await list();
}

/** The visitor's own camera. @param {string} [device] */
async function useCamera(device = "") {
  stream.say({ source: null });
  await use(() => source.camera(device, Number(at("size").value), ended), true);
  await list();
}

/** @param {File | undefined} file */
async function useFile(file) {
  if (!file) return;
  stream.say({ source: null });
  await use(() => source.file(file, ended), false);
  await list();
}

/** Offer the sources that there are. */
const list = () => offer(at("source"), source);

/** One of the server's cameras. @param {string} name */
function useServer(name) {
  source.close();
  source.kind = "server";
  forget();
  look.mirror = false;
  shown = null;
  at("source").value = name;
  stream.say({ source: name });
  setPaused(false);
  begun();
}

at("source").addEventListener("change", async () => {
  const { value } = at("source");
  if (value === "file") at("file").click();
  else if (value.startsWith("own:")) await useCamera(value.slice(4));
  else if (value.startsWith("camera:")) useServer(value);
});
at("use-camera").addEventListener("click", () => useCamera());
at("use-file").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", () => { useFile(at("file").files[0]); at("file").value = ""; });
at("file").addEventListener("cancel", list);
addEventListener("dragover", (event) => { event.preventDefault(); at("drop").hidden = false; });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) at("drop").hidden = true; });
addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").hidden = true;
  useFile(event.dataTransfer?.files[0]);
});
addEventListener("paste", (event) => useFile(event.clipboardData?.files[0]));

/** @param {boolean} value */
function setPaused(value) {
  paused = value;
  at("pause").setAttribute("aria-pressed", String(paused));
  at("pause").querySelector("span").textContent = paused ? "Go on" : "Pause";
  if (source.kind === "video") paused ? source.video.pause() : source.video.play();
}

function record_() {
  const count = recorder.toggle();
  at("record").setAttribute("aria-pressed", String(recorder.on));
  at("recording").hidden = !recorder.on;
  if (!recorder.on) notice(count ? `${count} records were handed over as a file.` : "There was nothing to record.", "info", 4000);
}

/** Draw the last result again, after the look has changed. */
function again() {
  const one = frozen ?? sent.filter(({ time }) => time).sort((a, b) => b.time - a.time)[0];
  if (source.kind === "server" && source.picture) draw(/** @type {ImageBitmap} */ (source.picture), ...source.size, record, false);
  else if (one && (frozen || record) && (frozen || places.kind || paused || source.kind === "picture")) draw(one.canvas, one.canvas.width, one.canvas.height, record, false);
}

/** @type {Record<string, () => void>} */
const actions = {
  pause: () => setPaused(!paused),
  mirror: () => { look.mirror = !look.mirror; at("mirror").setAttribute("aria-pressed", String(look.mirror)); again(); },
  record: record_,
  snapshot: () => snapshot(canvas),
  help: () => at("keys").showModal(),
  theme: exchange,
};
for (const [id, action] of Object.entries(actions)) at(id).addEventListener("click", action);
at("trails").addEventListener("change", () => { look.trails = at("trails").checked; again(); });
at("labels").addEventListener("change", () => { look.labels = at("labels").checked; again(); });
at("seen").addEventListener("change", again);
at("size").addEventListener("change", () => { if (source.kind === "picture") source.fresh = true; });
at("seek").addEventListener("input", () => { source.video.currentTime = (at("seek").value / 1000) * (source.video.duration || 0); });
addEventListener("resize", () => { if (canvas.dataset.frame) fit(canvas.width, canvas.height); });

/** @type {[string, string, string][]} */
const PAGE_KEYS = [[" ", "space", "pause"], ["m", "m", "mirror"], ["r", "r", "record"], ["w", "w", "snapshot"], ["?", "?", "help"]];
addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input:not([type=checkbox]), select, dialog, summary");
  const pressing = event.key === " " && event.target instanceof Element && event.target.closest("button, a, input");
  if (typing || pressing || event.ctrlKey || event.metaKey || event.altKey) return;
  const task = Object.entries(KEYS).find(([, key]) => key === event.key.toLowerCase())?.[0];
  const action = PAGE_KEYS.find(([key]) => key === event.key)?.[2];
  if (task) event.shiftKey ? plan.toggle(task) : plan.only(task);
  else if (action && !at(action).disabled) actions[action]();
  else return;
  event.preventDefault();
});
at("key-list").append(...Object.entries(KEYS).flatMap(([task, key]) => [element("dt", {}, key), element("dd", {}, task)]),
  element("dt", {}, "shift"), element("dd", {}, "and a task's key: together with what runs, or without it"),
  ...PAGE_KEYS.flatMap(([, key, action]) => [element("dt", {}, key), element("dd", {}, action)]));

// a camera that was allowed before is used at once
if (!navigator.mediaDevices?.getUserMedia) {
  at("use-camera").disabled = true;
  at("start-text").textContent = whyNoCamera(null);
} else {
  navigator.permissions?.query({ name: /** @type {any} */ ("camera") })
    .then(({ state }) => { if (state === "granted" && !source.kind && !location.search.includes("source=")) useCamera(); }).catch(() => {});
}
