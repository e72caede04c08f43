/** People whom the visitor names: looks at their faces stay in this page, and go along with the plan. */

import { element } from "./panel.js";

const MOST = 100;                                // looks: a message to the server has a bound
const LEAST = 3;                                 // looks at a person, with which one is known from several sides

export class People {
  /** @param {() => void} changed @param {() => Promise<Blob | null>} snap the picture as it is now */
  constructor(changed, snap) {
    this.changed = changed;
    this.snap = snap;
    /** @type {Map<string, string[]>} */
    this.looks = new Map();
    this.form = /** @type {HTMLFormElement} */ (document.getElementById("enrol"));
    this.name = /** @type {HTMLInputElement} */ (document.getElementById("person"));
    this.said = /** @type {HTMLElement} */ (document.getElementById("enrolled"));
    this.list = /** @type {HTMLElement} */ (document.getElementById("people"));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.add(this.name.value.trim()).catch((error) => { this.said.textContent = error.message; });
    });
  }

  /** The options of `identify`; null while there is nobody. @returns {Record<string, any> | null} */
  options() {
    const people = [...this.looks].flatMap(([name, looks]) => looks.map((look) => `${name}:${look}`));
    return people.length ? { people } : null;
  }

  /** Look at the face in the picture. @param {string} name */
  async add(name) {
    if (!name) throw new Error("Say first whose face it is.");
    if ([...this.looks.values()].flat().length >= MOST) throw new Error(`At most ${MOST} looks. Remove somebody first.`);
    const picture = await this.snap();
    if (!picture) throw new Error("There is no picture yet.");
    this.said.textContent = "Looking…";
    const answer = await fetch("v1/enrol", { method: "POST", body: picture, headers: { "content-type": "image/jpeg" } })
      .catch(() => { throw new Error("The server is not there."); });
    const came = await answer.json();
    if (!answer.ok) throw new Error(came.error);
    const known = [...this.looks.keys()].find((other) => other.toLowerCase() === name.toLowerCase()) ?? name;
    this.looks.set(known, [...this.looks.get(known) ?? [], came.look]);
    const more = LEAST - (this.looks.get(known)?.length ?? 0);
    this.said.textContent = `${known} is known${more > 0 ? `; ${more} more look${more > 1 ? "s" : ""}, turned a little, would help` : ""}.`;
    this.show();
    this.changed();
  }

  /** Who is known, each with a button that forgets them. */
  show() {
    this.list.replaceChildren(...[...this.looks].map(([name, looks]) => element("li", {},
      element("span", {}, name), element("b", {}, `${looks.length} look${looks.length > 1 ? "s" : ""}`),
      element("button", { type: "button", ariaLabel: `Forget ${name}`, onclick: () => {
        this.looks.delete(name);
        this.said.textContent = `${name} is forgotten.`;
        this.show();
        this.changed();
      } }, "Forget"))));
  }
}
