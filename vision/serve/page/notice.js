/** What the page says of itself: the connection, a line over the picture, light or dark. */

/** @param {string} id @returns {any} */
const at = (id) => document.getElementById(id);

/** How the connection is. @param {string} state @param {string} text */
export function link(state, text) {
  at("link").dataset.state = state;
  at("link-text").textContent = text;
}

/** @type {any} */
let hushing;

/** A line over the picture. @param {string} text @param {string} kind @param {number} [ms] how long it stands; for good unless given */
export function notice(text, kind, ms = 0) {
  clearTimeout(hushing);
  at("notice").textContent = text;
  at("notice").dataset.kind = kind;
  at("notice").hidden = false;
  if (ms) hushing = setTimeout(() => hush(kind), ms);
}

/** @param {string} kind of the line that is over */
export function hush(kind) { if (at("notice").dataset.kind === kind) at("notice").hidden = true; }

/** @param {string} name @param {boolean} [keep] */
function theme(name, keep = false) {
  document.documentElement.dataset.theme = name;
  at("theme").setAttribute("aria-pressed", String(name === "dark"));
  if (keep) localStorage.setItem("theme", name);
}
const dark = matchMedia("(prefers-color-scheme: dark)");
theme(localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => { if (!localStorage.getItem("theme")) theme(dark.matches ? "dark" : "light"); });

/** Light in place of dark, or the other way. */
export function exchange() { theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark", true); }
