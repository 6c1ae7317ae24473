// Loads a module for pages: Node 20 takes a file named .js for no module where no package.json says so.

import { readFileSync } from "node:fs";

export const load = (url) => import(`data:text/javascript,${encodeURIComponent(readFileSync(url, "utf-8"))}`);
