// Checks recorded payloads against the chats' published types, with the TypeScript compiler.
// node check.mjs DIRECTORY: of files with lines of {"kind": …, "body": …}.
//
// Each payload becomes a literal of its kind's type, so that the compiler also finds fields that
// the type does not have. Payloads of one shape are written once. For each kind there are copies
// that are made wrong on purpose, and the compiler must refuse every one of them.

import { spawnSync } from "node:child_process";
import { createReadStream, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

const VENDORS = ["mattermost", "slack", "discord"];

// What these hold decides which type is meant; of other texts and numbers one is as good as another.
const TELLING = new Set(["type", "style", "flags", "op", "subtype", "method", "parse"]);

// Slack's methods that read take forms, in which everything is a text.
const FORMS = {
  limit: Number,
  length: Number,
  include_all_metadata: (text) => text === "true",
};
const IS_FORM = /^slack (conversations\.|files\.getUploadURLExternal$)/;

// Objects that take any field by their type.
const OPEN = new Set(["payload", "event_payload"]);

function kinds() {
  const found = new Map();
  for (const vendor of VENDORS) {
    const text = readFileSync(`${vendor}.ts`, "utf8");
    for (const [, name] of text.matchAll(/^ {2}"(\w+ [^"]+)":/gm)) {
      const escaped = name.replace(/[.$@]/g, "\\$&").replaceAll("*", "[^/ ]+");
      const pattern = new RegExp(`^${escaped}$`);
      found.set(name, { vendor, pattern, payloads: 0, shapes: new Map() });
    }
  }
  return found;
}

function shape(value, key) {
  if (Array.isArray(value)) {
    return `[${[...new Set(value.map((one) => shape(one, key)))].sort()}]`;
  }
  if (value !== null && typeof value === "object") {
    const fields = Object.keys(value).sort();
    return `{${fields.map((name) => `${name}:${shape(value[name], name)}`)}}`;
  }
  const telling = value === null || typeof value === "boolean" || TELLING.has(key);
  return telling ? JSON.stringify(value) : typeof value;
}

async function read(directory, all, unknown) {
  for (const file of readdirSync(directory)) {
    const lines = createInterface({ input: createReadStream(`${directory}/${file}`) });
    for await (const line of lines) {
      const { kind, body } = JSON.parse(line);
      const one = all.get(kind) ?? [...all.values()].find((it) => it.pattern.test(kind));
      if (one === undefined) {
        unknown.add(kind);
        continue;
      }
      if (IS_FORM.test(kind)) {
        for (const [field, read] of Object.entries(FORMS)) {
          if (field in body) body[field] = read(body[field]);
        }
      }
      one.payloads += 1;
      const its = shape(body);
      if (!one.shapes.has(its)) one.shapes.set(its, body);
    }
  }
}

// Copies with one fault each: an unknown field in an object, or something else in place of a field.
function* faults(value, key, whole) {
  if (Array.isArray(value)) {
    const seen = new Set();
    for (const [at, one] of value.entries()) {
      const its = shape(one, key);
      if (seen.has(its)) continue;
      seen.add(its);
      yield* faults(one, key, (fault) => whole(value.map((it, nth) => (nth === at ? fault : it))));
    }
    return;
  }
  if (value === null || typeof value !== "object" || OPEN.has(key)) return;
  yield whole({ ...value, no_such_field: true });
  for (const [field, one] of Object.entries(value)) {
    const fault = (one) => whole({ ...value, [field]: one });
    if (!OPEN.has(field)) yield fault({ no_such_field: true });
    yield* faults(one, field, fault);
  }
}

// A literal. Flags of Discord's are written bit by bit, each of which must be one.
function literal(body, indent) {
  const text = JSON.stringify(body, null, indent);
  return text.replace(/"flags":( ?)(\d+)/g, (_, space, flags) => {
    const bits = [...Array(31).keys()].map((at) => 1 << at).filter((bit) => Number(flags) & bit);
    const one = bits.map((bit) => `(${bit} satisfies MessageFlags)`);
    return `"flags":${space}${one.join(" | ") || 0}`;
  });
}

function write(name, file, one) {
  const type = `Kinds[${JSON.stringify(name)}]`;
  const lines = [
    `import type { Kinds } from "../${one.vendor}";`,
    `import type { MessageFlags } from "discord-api-types/v10";`,
  ];
  const bodies = [...one.shapes.values()];
  bodies.forEach((body, at) => {
    lines.push(`export const payload${at}: ${type} = ${literal(body, 2)};`);
  });
  const fullest = bodies.reduce((a, b) => (JSON.stringify(b).length > JSON.stringify(a).length ? b : a));
  const wrong = [...faults(fullest, "", (fault) => fault)];
  wrong.forEach((body, at) => {
    lines.push("// @ts-expect-error", `export const wrong${at}: ${type} = ${literal(body)};`);
  });
  one.faults = wrong.length;
  writeFileSync(file, `${lines.join("\n")}\n`);
}

// What the compiler says, by file.
function compiled() {
  const tsc = spawnSync("node", ["node_modules/typescript/bin/tsc", "-p", "."], { encoding: "utf8" });
  const said = new Map();
  let file = "";
  for (const line of `${tsc.stdout}${tsc.stderr}`.split("\n").filter((line) => line !== "")) {
    file = /^([^ (][^(]*)\(\d+,\d+\): error/.exec(line)?.[1] ?? file;
    said.set(file, [...(said.get(file) ?? []), line]);
  }
  if (tsc.status !== 0 && said.size === 0) said.set("", [`tsc ended with ${tsc.status}`]);
  return said;
}

const all = kinds();
const unknown = new Set();
await read(process.argv[2], all, unknown);

rmSync("payloads", { recursive: true, force: true });
mkdirSync("payloads");
const files = new Map();
for (const [name, one] of all) {
  const file = `payloads/${name.replaceAll("*", "x").replace(/[^\w.]+/g, "_")}.ts`;
  files.set(name, file);
  if (one.payloads > 0) write(name, file, one);
}
const said = compiled();

const counts = { passed: 0, failed: 0, payloads: 0, shapes: 0, faults: 0 };
function tell(name, good, why) {
  counts[good ? "passed" : "failed"] += 1;
  console.log(`test contracts::${name} ... ${good ? "ok" : "FAILED"}: ${why}`);
}
for (const [name, one] of all) {
  const errors = said.get(files.get(name)) ?? [];
  said.delete(files.get(name));
  counts.payloads += one.payloads;
  counts.shapes += one.shapes.size;
  counts.faults += one.faults ?? 0;
  const why = [`${one.payloads} payloads of ${one.shapes.size} shapes`, ...errors.slice(0, 20)];
  if (one.payloads === 0) tell(name, false, "no test made Rave send one");
  else tell(name, errors.length === 0, why.join("\n  "));
}
for (const name of unknown) tell(name, false, "no type is given for it");
// The types themselves, and the faults in controls.ts.
const others = [...said.values()].flat();
tell("controls", others.length === 0, ["what is wrong is refused", ...others.slice(0, 20)].join("\n  "));

const word = counts.failed === 0 ? "ok" : "FAILED";
console.log(
  `\ntest result: ${word}. ${counts.passed} passed; ${counts.failed} failed; 0 ignored; ` +
    `${counts.payloads} payloads of ${counts.shapes} shapes, ${counts.faults} faults put in are found`,
);
process.exit(counts.failed === 0 ? 0 : 1);
