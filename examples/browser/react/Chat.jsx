import { useState } from "react";

import { useLine } from "./use-line.js";

export function Chat({ room }) {
  const [said, setSaid] = useState([]);
  const { line, state } = useLine(`ws://127.0.0.1:8000/ws?room=${encodeURIComponent(room)}`, {
    "said": (text) => setSaid((before) => [...before, text]),
    "wspulse.lost": () => setSaid((before) => [...before, "… messages sent meanwhile are missing here"]),
  });

  function say(event) {
    event.preventDefault();
    line.send("said", event.target.text.value);
    event.target.reset();
  }

  return (
    <form onSubmit={say}>
      <ol>{said.map((text, place) => <li key={place}>{text}</li>)}</ol>
      <input name="text" /> <small>{state}</small>
    </form>
  );
}
