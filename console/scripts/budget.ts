/**
 * Checks the built console against its budgets: `node scripts/budget.ts`.
 *
 * Counts what a browser downloads with Brotli: the scripts of the first visit of each page, with all
 * that they import, and the style sheets.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const BUILT = join(import.meta.dirname, "../../controlplane/web/console/assets");
const PAGES = join(import.meta.dirname, "../src/pages");
const PACKAGE = join(import.meta.dirname, "../package.json");
const SCRIPTS_OF_RUN_PAGE = 180_000; // bytes
const SCRIPTS_OF_OTHER_PAGE = 40_000; // bytes, beyond those of every page
const STYLES = 15_000; // bytes
const DEPENDENCIES = 12;

const files = readdirSync(BUILT).filter((name) => /\.(js|css)$/.test(name));
const size = (name: string): number => statSync(join(BUILT, `${name}.br`)).size;
const entry = files.find((name) => /^index-.*\.js$/.test(name));
const problems: string[] = [];

function check(what: string, is: number, most: number): void {
  const line = `${what}: ${is.toLocaleString("en")} of ${most.toLocaleString("en")}`;
  process.stdout.write(`${line}\n`);
  if (is > most) problems.push(line);
}

/** A script and the scripts that it imports, not those that it loads later. */
function withImports(name: string, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  const text = readFileSync(join(BUILT, name), "utf8");
  for (const match of text.matchAll(/(?:from|import)\s*["']\.\/([\w.-]+\.js)["']/g)) {
    withImports(match[1]!, found);
  }
  return found;
}

if (entry === undefined) throw new Error(`no index-*.js in ${BUILT}: run make console`);
const shared = withImports(entry);
const total = (names: Iterable<string>): number =>
  [...names].reduce((sum, each) => sum + size(each), 0);
const base = total(shared);
const nouns = readdirSync(PAGES)
  .filter((name) => name.endsWith(".tsx"))
  .map((name) => name.replace(".tsx", ""));
const pages = files.filter(
  (name) => name.endsWith(".js") && nouns.includes(name.replace(/-[\w-]{8}\.js$/, "")),
);
const own = pages.map((name) => {
  const all = [...withImports(name)].filter((each) => !shared.has(each));
  return { name, bytes: total(all) };
});
const runs = own.filter(({ name }) => /^run-/.test(name)).sort((a, b) => b.bytes - a.bytes);
const [run] = runs; // others are what pages share, named after their first file
check("scripts of the run page", base + (run?.bytes ?? 0), SCRIPTS_OF_RUN_PAGE);
const others = own.filter(({ name }) => !/^run-/.test(name)).sort((a, b) => b.bytes - a.bytes);
for (const { name, bytes } of others.slice(0, 3)) {
  check(`scripts of ${name} beyond the shell`, bytes, SCRIPTS_OF_OTHER_PAGE);
}
check("style sheets", total(files.filter((name) => name.endsWith(".css"))), STYLES);
const manifest = JSON.parse(readFileSync(PACKAGE, "utf8")) as { dependencies: object };
check("runtime dependencies", Object.keys(manifest.dependencies).length, DEPENDENCIES);
if (problems.length > 0) {
  process.stderr.write(`over budget:\n  ${problems.join("\n  ")}\n`);
  process.exitCode = 1;
}
