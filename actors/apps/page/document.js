// The document: its elements by id, and new ones. What others send gets into it as text only, never as HTML.

const CHARACTERS_SHOWN = 2000;   // as many as this page sends; a browser may take a minute to lay out a megabyte

export const element = (id) => document.getElementById(id);

export function make(tag, className, ...content) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...content);       // strings become text nodes
  return made;
}

// What a person wrote, in its own direction of writing, which the text around it keeps out of. Of a long text, the beginning.
export function foreign(text, className = "") {
  const made = make("bdi", className, text.length > CHARACTERS_SHOWN ? `${text.slice(0, CHARACTERS_SHOWN)}…` : text);
  made.dir = "auto";
  return made;
}

// When a line came here. The clocks of others may be wrong.
export function clock() {
  const now = new Date();
  const made = make("time", "", now.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  made.dateTime = now.toISOString();
  made.title = now.toLocaleString();
  return made;
}
