/** The pickers: tasks, models and options as the server describes them; what is seen, with counts. */

import { css, labelOf, objectsOf, shadeOf } from "./paint.js";

/** @typedef {{name: string, type: string, items: string | null, default: any, optional: boolean, unit: string, min: number | null,
 *   max: number | null, help: string, choices: string[] | null}} Option */
/** @typedef {{task: string, help: string, after: string[], models: string[], options: Option[]}} Task */

/** The key of each task: as in the window. @type {Record<string, string>} */
export const KEYS = { detect: "d", track: "t", instances: "i", segment: "s", faces: "f", pose: "p", action: "a", classify: "c" };
const TOOLS = ["count", "follow", "identify"];           // they need what the visitor draws, or whom they name
const OURS = new Set(["rle", "polygons", "detector", "line", "zone", "box", "people"]);    // are this page's matter

/** @param {string} tag @param {Record<string, any>} [values] @param {(Node | string)[]} children @returns {any} */
export function element(tag, values = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(values)) {
    if (name in made) /** @type {any} */ (made)[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Which tasks run, with which options. */
export class Plan {
  /** @param {() => void} changed called when another plan is wanted
   * @param {(task: string) => Record<string, any> | null} given what the visitor drew for a task; null: nothing yet */
  constructor(changed, given) {
    this.changed = changed;
    this.given = given;
    /** @type {Task[]} */
    this.tasks = [];
    /** @type {Set<string>} */
    this.active = new Set();
    /** @type {Record<string, Record<string, any>>} */
    this.values = {};
    /** @type {Record<string, {name: string, engine: string}>} */
    this.models = {};
    this.chips = /** @type {HTMLElement} */ (document.getElementById("task-chips"));
    this.form = /** @type {HTMLElement} */ (document.getElementById("options"));
  }

  /** @param {Task[]} tasks @param {string[]} first those to begin with */
  offer(tasks, first) {
    this.tasks = tasks;
    const known = new Set(this.tasks.map(({ task }) => task));
    const kept = [...this.active].filter((task) => known.has(task));
    const begin = kept.length ? kept : first.filter((task) => known.has(task));
    this.active = new Set(begin.length ? begin : this.tasks.slice(0, 1).map(({ task }) => task));
    this.chips.replaceChildren(...this.tasks.map(({ task, help }) => element(
      "button", { type: "button", title: help, id: `task-${task}`, onclick: () => this.toggle(task) },
      task, ...(KEYS[task] ? [element("kbd", { ariaHidden: "true" }, KEYS[task])] : []))));
    this.show();
  }

  /** The plan as the server takes it; of a task for which nothing is drawn yet, what goes before it. */
  get asked() {
    /** @type {Record<string, Record<string, any>>} */
    const plan = {};
    for (const task of this.active) {
      const given = TOOLS.includes(task) ? this.given(task) : {};
      for (const one of given ? [task] : this.needs(task)) {
        plan[one] = { ...this.values[one], ...(one === task ? given : {}), ...(one === "segment" ? { rle: true } : {}) };
      }
    }
    return plan;
  }

  /** @param {string} task this one alone */
  only(task) {
    if (!this.tasks.some((one) => one.task === task)) return;
    this.active = new Set([task]);
    this.show();
    this.changed();
  }

  /** @param {string} task on or off; one is always on */
  toggle(task) {
    if (!this.tasks.some((one) => one.task === task)) return;
    if (!this.active.delete(task)) this.active.add(task);
    else if (!this.active.size) this.active.add(task);
    this.show();
    this.changed();
  }

  /** @param {string} task that is being loaded; empty: none is */
  loading(task) {
    for (const chip of this.chips.children) chip.setAttribute("aria-busy", String(chip.id === `task-${task}`));
  }

  /** Show what is chosen. */
  show() {
    for (const { task } of this.tasks) {
      document.getElementById(`task-${task}`)?.setAttribute("aria-pressed", String(this.active.has(task)));
    }
    for (const task of TOOLS) /** @type {HTMLElement} */ (document.getElementById(`tool-${task}`)).hidden = !this.active.has(task);
    const wanted = [...new Set([...this.active].flatMap((task) => [...this.needs(task), task]))];
    const open = new Set([...this.form.querySelectorAll("details[open]")].map(({ id }) => id));
    this.form.replaceChildren(...wanted.map((task) => this.details(task, open.has(`options-${task}`))));
  }

  /** @param {string} task @returns {string[]} the tasks before it, unless instances give the boxes */
  needs(task) {
    const after = this.tasks.find((one) => one.task === task)?.after ?? [];
    return this.active.has("instances") ? after.filter((one) => one !== "detect") : after;
  }

  /** @param {Record<string, {name: string, engine: string}>} models that run now */
  running(models) {
    this.models = models;
    for (const [task, { name, engine }] of Object.entries(models)) {
      const said = document.querySelector(`#options-${task} summary .small`);
      if (said) said.textContent = [name, engine].filter(Boolean).join(", ");
    }
  }

  /** @param {string} name @param {boolean} open */
  details(name, open) {
    const task = this.tasks.find((one) => one.task === name);
    const now = this.models[name];
    const body = element("div");
    for (const option of task?.options ?? []) {
      if (OURS.has(option.name)) continue;
      if (option.name === "model") {
        if (task && task.models.length > 1) body.append(this.choice(name, { ...option, choices: task.models, default: task.models[0] }));
      } else body.append(this.field(name, option));
    }
    if (!body.children.length) body.append(element("p", { className: "small" }, "Nothing to set."));
    return element("details", { id: `options-${name}`, open },
      element("summary", {}, name, element("span", { className: "small" }, now ? [now.name, now.engine].filter(Boolean).join(", ") : "")), body);
  }

  /** @param {string} task @param {string} name @param {any} value undefined: the default */
  set(task, name, value) {
    const values = (this.values[task] ??= {});
    if (value === undefined) delete values[name];
    else values[name] = value;
    if (!this.active.has(task)) this.active.add(task);       // a detector that a tracker brought along
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.changed(), 200);
    document.getElementById(`task-${task}`)?.setAttribute("aria-pressed", "true");
  }

  /** @param {string} task @param {Option} option */
  field(task, option) {
    if (option.choices) return this.choice(task, option);
    const value = this.values[task]?.[option.name] ?? option.default;
    const words = option.name.replaceAll("_", " ");
    if (option.type === "boolean") {
      return element("label", { className: "check", title: option.help }, element("input", {
        type: "checkbox", checked: Boolean(value), onchange: (/** @type {any} */ event) => this.set(task, option.name, event.target.checked),
      }), words);
    }
    if (option.unit === "0..1") {
      const said = element("output", {}, value === null ? "the model's own" : Number(value).toFixed(2));
      return element("label", { className: "field", title: option.help }, element("span", {}, words, said), element("input", {
        type: "range", min: "0", max: "1", step: "0.01", value: String(value ?? 0.5), oninput: (/** @type {any} */ event) => {
          said.textContent = Number(event.target.value).toFixed(2);
          this.set(task, option.name, Number(event.target.value));
        } }));
    }
    const number = option.type === "number" || option.type === "integer";
    return element("label", { className: "field", title: option.help },
      element("span", {}, `${words}${option.unit ? ` (${option.unit})` : ""}`), element("input", {
        type: number ? "number" : "text", value: value === null ? "" : String(value), placeholder: option.optional ? "any" : "",
        ...(number ? { step: option.type === "integer" ? "1" : "any", min: option.min ?? "", max: option.max ?? "" } : {}),
        onchange: (/** @type {any} */ event) => {
          const text = event.target.value.trim();
          const list = () => text.split(",").map((/** @type {string} */ part) => part.trim()).filter(Boolean);
          this.set(task, option.name, text === "" ? undefined : number ? Number(text) : option.type === "array" ? list() : text);
        } }));
  }

  /** @param {string} task @param {Option} option */
  choice(task, option) {
    const value = this.values[task]?.[option.name] ?? option.default;
    return element("label", { className: "field", title: option.help }, element("span", {}, option.name.replaceAll("_", " ")),
      element("select", { onchange: (/** @type {any} */ event) => this.set(task, option.name, event.target.value) },
        ...(option.choices ?? []).map((one) => element("option", { value: one, selected: one === value }, one))));
  }
}

/** What a record shows: how often each class, or how much of the picture it is. @param {any} record
 * @returns {Map<string, {count: string, key: number, n: number}>} by label */
export function tally(record) {
  const counts = new Map();
  for (const [task, objects] of objectsOf(record)) {
    for (const one of objects) {
      const label = labelOf(task, one), n = (counts.get(label)?.n ?? 0) + 1;
      counts.set(label, { n, count: String(n), key: one.class_id ?? 0 });
    }
  }
  for (const { label, class_id: key, fraction } of record.segment?.areas ?? []) {
    counts.set(label, { n: 1, count: `${(100 * fraction).toFixed(0)} %`, key });
  }
  return counts;
}

/** What is seen: a row a class, with how many there are now; a class can be hidden. */
export class SeenList {
  constructor() {
    this.list = /** @type {HTMLElement} */ (document.getElementById("seen"));
    this.none = /** @type {HTMLElement} */ (document.getElementById("seen-none"));
    /** @type {Set<string>} */
    this.hidden = new Set();
    /** @type {Map<string, {row: HTMLElement, count: HTMLElement}>} */
    this.rows = new Map();
  }

  /** Another plan: what was seen goes. */
  forget() {
    this.rows.clear();
    this.list.replaceChildren();
    this.none.hidden = false;
  }

  /** @param {Map<string, {count: string, key: number}>} counts by class */
  show(counts) {
    for (const [label, { key }] of counts) if (!this.rows.has(label)) this.add(label, key);
    for (const [label, { count }] of this.rows) {
      const text = counts.get(label)?.count ?? "0";
      if (count.textContent !== text) count.textContent = text;
    }
    this.none.hidden = this.rows.size > 0;
  }

  /** @param {string} label @param {number} key of its colour */
  add(label, key) {
    const count = element("b", {}, "0"), mark = element("i", { ariaHidden: "true" }), name = element("span", {}, label);
    mark.style.background = css(shadeOf(key));
    const row = element("li", {}, element("label", {}, element("input", {
      type: "checkbox", checked: !this.hidden.has(label), onchange: (/** @type {any} */ event) => {
        if (event.target.checked) this.hidden.delete(label);
        else this.hidden.add(label);
        name.className = event.target.checked ? "" : "off";
      } }), mark, name, count));
    this.rows.set(label, { row, count });
    this.list.append(row);
  }
}
