/**
 * Writes into a built page which stack it is for: `node configure.js DIRECTORY CONFIGURATION`. The configuration is the JSON of the
 * stack's output ConsoleConfiguration.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [directory = "", configuration = ""] = process.argv.slice(2);
const { connect, ...settings } = JSON.parse(configuration);
if (!connect || !settings.api || !settings.issuer || !settings.client_id || !settings.scope)
  throw new Error(`this is no configuration of a console: ${configuration}`);
const quoted = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
const metas =
  `<meta http-equiv="Content-Security-Policy" content="connect-src ${quoted(connect)}" />` +
  `<meta name="scrollback" content="${quoted(JSON.stringify(settings))}" />`;
const file = join(directory, "index.html");
const page = readFileSync(file, "utf8");
const before = '<meta charset="utf-8" />';
if (!page.includes(before) || page.includes('name="scrollback"')) throw new Error(`${file} is no page just built`);
// First of all: the policy holds for what comes after it.
writeFileSync(
  file,
  page.replace(before, () => before + metas),
);
