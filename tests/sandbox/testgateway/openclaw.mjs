#!/usr/bin/env node
// The command `openclaw` of the test image: the gateway's routes, its exits, and the few commands an init container uses.
//
// Settings, all optional, looked up in the environment, then in testgateway.env of the state folder (so that a test can
// change a running gateway), then in /etc/testgateway.env (so that an image of another digest can be the bad one):
//   TESTGATEWAY_START_DELAY      seconds until /startupz and /readyz answer 200
//   TESTGATEWAY_EXIT             exit code at start, with the log of TESTGATEWAY_EXIT_REASON: config | owned | schema |
//                                plugins | node (default: config for 78, node for others)
//   TESTGATEWAY_EXIT_TIMES       only the first so many starts on this state folder exit
//   TESTGATEWAY_CRASH_AFTER      seconds after which the process dies with exit code 1
//   TESTGATEWAY_IGNORE_SIGTERM   anything: only SIGKILL ends it
//   TESTGATEWAY_EAT_MEMORY       MiB to take at start, really touched
//   TESTGATEWAY_TOKEN_OVERRIDE   the token it accepts in place of OPENCLAW_GATEWAY_TOKEN
//   TESTGATEWAY_READY_FAILING    comma list of what /readyz reports as failing
//   TESTGATEWAY_LACKS            comma list of routes that it does not know: a page of HTML, like any unknown path
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { homedir } from "node:os";
import { join } from "node:path";

const VERSION = "2026.9.2";
const STATE = process.env.OPENCLAW_STATE_DIR || join(homedir(), ".openclaw");
const CONFIG = process.env.OPENCLAW_CONFIG_PATH || join(STATE, "openclaw.json");
const EX_CONFIG = 78;
const DEFAULT_PORT = 18789;

const log = (line) => console.log(`${new Date().toISOString()} [gateway] ${line}`);

function setting(name) {
  if (process.env[name]) return process.env[name];
  for (const file of [join(STATE, "testgateway.env"), "/etc/testgateway.env"]) {
    if (!existsSync(file)) continue;
    const line = readFileSync(file, "utf8").split("\n").find((text) => text.startsWith(`${name}=`));
    if (line) return line.slice(name.length + 1);
  }
  return "";
}

function fail(code, ...lines) {
  for (const line of lines) console.error(line);
  process.exit(code);
}

const EXIT_LOGS = {
  config: ["OpenClaw config is invalid", "File: ~/.openclaw/openclaw.json", "Problem:",
    '  - agents.defaults: Unrecognized key: "modell"', "Inspect: openclaw config validate"],
  owned: ["[gateway] Gateway failed to start: gateway already running (pid 7); lock timeout after 5000ms"],
  schema: ["[gateway] gateway requires a newer OpenClaw build.",
    "Gateway failed to start: state database uses newer schema version 15; this OpenClaw build supports 1."],
  plugins: ["[gateway] plugin migration inputs changed during startup convergence; Restart OpenClaw"],
  node: ["openclaw: this Node.js is not supported"],
};

function readConfig() {
  if (!existsSync(CONFIG)) return undefined;
  try {
    return JSON.parse(readFileSync(CONFIG, "utf8"));
  } catch (error) {
    return fail(EX_CONFIG, "OpenClaw config is invalid", `File: ${CONFIG}`, "Problem:", `  - ${error.message}`);
  }
}

function toldToExit() {
  const code = Number(setting("TESTGATEWAY_EXIT"));
  if (!code) return;
  const times = Number(setting("TESTGATEWAY_EXIT_TIMES"));
  if (times) {
    const counter = join(STATE, "testgateway.exits");
    mkdirSync(STATE, { recursive: true });
    if (existsSync(counter) && readFileSync(counter).length >= times) return;
    appendFileSync(counter, ".");
  }
  fail(code, ...EXIT_LOGS[setting("TESTGATEWAY_EXIT_REASON") || (code === EX_CONFIG ? "config" : "node")]);
}

const eaten = []; // held for good: what only a finished function knows would be collected

function eatMemory(mebibytes) {
  const bite = () => {
    eaten.push(Buffer.alloc(1 << 24, 1));
    if (eaten.length * 16 < mebibytes) setImmediate(bite);
  };
  bite();
}

function answer(response, status, body, type = "application/json; charset=utf-8") {
  response.writeHead(status, { "Content-Type": type, "Cache-Control": "no-store" });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

function serve(port, host) {
  const token = process.env.OPENCLAW_GATEWAY_TOKEN;
  if (!token) fail(1, `Gateway failed to start: refusing to bind gateway to ${host}:${port} without auth`);
  const started = Date.now();
  const readyAt = started + Number(setting("TESTGATEWAY_START_DELAY")) * 1000;
  let draining = false;

  const accepted = () => setting("TESTGATEWAY_TOKEN_OVERRIDE") || token;
  const knows = (request) => request.headers.authorization === `Bearer ${accepted()}`;
  // Details only for the pod itself and for those who know the token, as the real one does.
  const trusted = (request) => /^(::ffff:)?127\.|^::1$/.test(request.socket.remoteAddress ?? "") || knows(request);

  const routes = {
    "/healthz": (_request, response) => answer(response, 200, { ok: true, status: "live" }),
    "/startupz": (request, response) => {
      const status = draining ? "draining" : Date.now() < readyAt ? "starting" : "started";
      const ok = status === "started";
      const details = { version: VERSION, uptimeMs: Date.now() - started, ...(ok ? {} : { pendingReason: status }) };
      answer(response, ok ? 200 : 503, { ok, status, ...(trusted(request) ? details : {}) });
    },
    "/readyz": (request, response) => {
      const failing = draining ? ["gateway-draining"] : Date.now() < readyAt ? ["startup-sidecars"]
        : setting("TESTGATEWAY_READY_FAILING").split(",").filter(Boolean);
      const ready = failing.length === 0;
      const details = { failing, uptimeMs: Date.now() - started };
      answer(response, ready ? 200 : 503, { ready, ...(trusted(request) ? details : {}) });
    },
    "/tools/invoke": (request, response) => {
      if (request.method !== "POST") return answer(response, 405, "Method Not Allowed", "text/plain; charset=utf-8");
      request.resume();
      return knows(request)
        ? answer(response, 200, { ok: true, result: { content: [], details: { count: 0, sessions: [] } } })
        : answer(response, 401, { error: { message: "Unauthorized", type: "unauthorized" } });
    },
  };

  const server = createServer((request, response) => {
    const path = (request.url ?? "/").split("?")[0];
    const known = path in routes && !setting("TESTGATEWAY_LACKS").split(",").includes(path);
    if (known) routes[path](request, response);
    else answer(response, 200, "<!doctype html><title>testgateway</title>", "text/html; charset=utf-8");
  });
  server.listen(port, host, () => log(`listening on ${host}:${port} (testgateway ${VERSION})`));

  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.on(signal, () => {
      log(`signal ${signal} received`);
      if (setting("TESTGATEWAY_IGNORE_SIGTERM")) return;
      draining = true;
      server.close(() => process.exit(0));
      server.closeIdleConnections();
    });
  }
  const crashAfter = Number(setting("TESTGATEWAY_CRASH_AFTER"));
  if (crashAfter) setTimeout(() => fail(1, "[gateway] uncaught exception: told to crash"), crashAfter * 1000);
  const mebibytes = Number(setting("TESTGATEWAY_EAT_MEMORY"));
  if (mebibytes) eatMemory(mebibytes);
}

function runGateway(words) {
  // The last one wins, in both spellings.
  const after = (name, fallback) => words.reduce((found, word, place) => (
    word === name ? words[place + 1] : word.startsWith(`${name}=`) ? word.slice(name.length + 1) : found), fallback);
  toldToExit();
  const config = readConfig();
  if (!words.includes("--allow-unconfigured") && config?.gateway?.mode !== "local") {
    fail(EX_CONFIG, config ? "Gateway start blocked: existing config is missing gateway.mode."
      : "Missing config. Set gateway.mode=local (or pass --allow-unconfigured).");
  }
  serve(Number(after("--port", DEFAULT_PORT)), after("--bind", "loopback") === "lan" ? "0.0.0.0" : "127.0.0.1");
}

const words = process.argv.slice(2);
if (words[0] === "--version") console.log(`OpenClaw ${VERSION} (testgateway)`);
else if (words[0] === "gateway" && words[1] === "run") runGateway(words.slice(2));
else if (words[0] === "config") console.log(readConfig() ? "config ok" : "no config");
else if (words[0] === "plugins") console.log(`plugins: ${words.slice(1).join(" ")}`);
else fail(2, `testgateway: no such command: openclaw ${words.join(" ")}`);
