// Lays the module beside package.json, before it is packed or installed: in the repository there is one of it.

const { copyFileSync } = require("node:fs");
const { join } = require("node:path");

const root = join(__dirname, "../../..");
for (const name of ["actors/apps/page/wspulse.js", "actors/apps/page/wspulse.d.ts", "LICENSE"]) {
  copyFileSync(join(root, name), join(__dirname, name.split("/").pop()));
}
