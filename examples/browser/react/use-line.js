// A line for the life of a React component: `const { line, state } = useLine(url, { "chat.message": (payload) => … })`.
// Copy it beside wspulse.js, or import `connect` from the package or from the server.

import { useEffect, useRef, useState } from "react";

import { connect } from "./wspulse.js";

export function useLine(url, handlers = {}, options = {}) {
  const latest = useRef(handlers);
  const [opened, setOpened] = useState({ line: null, state: "connecting" });

  // Handlers see the values of the last rendering, without another line being opened for each.
  useEffect(() => { latest.current = handlers; });

  useEffect(() => {
    const line = connect(url, options);
    line.on("wspulse.state", ({ state }) => setOpened({ line, state }));
    for (const event of Object.keys(latest.current)) {
      line.on(event, (payload, frame) => latest.current[event]?.(payload, frame));
    }
    setOpened({ line, state: line.state });
    return () => line.close();
  }, [url]);

  return opened;
}
