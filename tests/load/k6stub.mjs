// A stand-in for k6 on Node.js: it runs the load scripts where k6 is not installed, and lets
// check.mjs test them. Only what the scripts use is here: scenarios of constant-arrival-rate and
// constant-vus, open, setup, asyncRequest, thresholds. Anything else is an error, not a silent
// difference.
//
//   node tests/load/k6stub.mjs SCRIPT     exit code 0: passed, 99: a threshold was crossed, as k6
//
// The file is three things at once: the runner, the module that stands for k6's (`k6/http` and so
// on resolve to it with a query), and the loader hooks that make that so.
import nodeHTTP from 'node:http';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';

// ---- loader hooks: `k6…` is this file, and a .js file is an ES module ----

const self = new URL(import.meta.url);
self.search = '';

export async function resolve(specifier, context, next) {
  if (specifier === 'k6' || specifier.startsWith('k6/')) return { url: self.href, shortCircuit: true };
  return next(specifier, context);
}

export async function load(url, context, next) {
  return next(url, url.endsWith('.js') ? { ...context, format: 'module' } : context);
}

// ---- metrics ----

const samples = new Map(); // metric name → [{value, tags}]

function record(name, value, tags = {}) {
  if (!samples.has(name)) samples.set(name, []);
  samples.get(name).push({ value, tags });
}

class Metric {
  constructor(name) {
    this.name = name;
  }
  add(value, tags) {
    record(this.name, Number(value), tags);
  }
}
export { Metric as Counter, Metric as Rate, Metric as Trend };

function percentile(values, p) {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return 0;
  const at = (p / 100) * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (sorted[Math.ceil(at)] - sorted[low]) * (at - low);
}

const sum = (values) => values.reduce((a, b) => a + b, 0);
const compare = {
  '<': (a, b) => a < b, '<=': (a, b) => a <= b, '>': (a, b) => a > b,
  '>=': (a, b) => a >= b, '==': (a, b) => a === b, '!=': (a, b) => a !== b,
};

function judge(selector, expression) { // → {holds, value}
  const [, name, , key, wanted] = /^(\w+)(\{(\w+):([^}]*)\})?$/.exec(selector) ?? [];
  const parsed = /^\s*(count|rate|avg|max|p\(([\d.]+)\))\s*(<=|>=|==|!=|<|>)\s*([\d.]+)\s*$/.exec(expression);
  if (!name || !parsed) throw new Error(`cannot read threshold ${selector}: ${expression}`);
  const [, how, p, operator, limit] = parsed;
  const values = (samples.get(name) ?? []).filter((s) => !key || s.tags[key] === wanted).map((s) => s.value);
  const mean = values.length ? sum(values) / values.length : 0;
  const value = p ? percentile(values, Number(p)) : { count: sum(values), rate: mean, avg: mean, max: values.reduce((a, b) => Math.max(a, b), 0) }[how];
  return { holds: compare[operator](value, Number(limit)), value };
}

// ---- what scripts import ----

export const scenario = { name: '', iterationInTest: 0 }; // read it before the first await

export function check(subject, conditions) {
  const results = Object.values(conditions).map((condition) => Boolean(condition(subject)));
  results.forEach((ok) => record('checks', Number(ok)));
  return results.every(Boolean);
}

export function sleep(seconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
}

const agent = new nodeHTTP.Agent({ keepAlive: true, maxSockets: 1000 });
let expected = (status) => status >= 200 && status < 400;

const canonical = (name) => name.replace(/(^|-)[a-z]/g, (c) => c.toUpperCase());

function asyncRequest(method, url, body, params = {}) {
  return new Promise((done) => {
    let started = performance.now();
    const finish = (status, headers, text) => {
      record('http_req_duration', performance.now() - started, params.tags);
      record('http_reqs', 1, params.tags);
      record('http_req_failed', Number(!expected(status)), params.tags);
      record('status', 1, { status: String(status) });
      done({ status, headers, body: text });
    };
    const request = nodeHTTP.request(url, { method, agent, headers: params.headers, timeout: 10_000 }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('error', () => finish(0, {}, ''));
      answer.on('end', () => {
        const headers = Object.fromEntries(Object.entries(answer.headers).map(([k, v]) => [canonical(k), String(v)]));
        finish(answer.statusCode, headers, Buffer.concat(chunks).toString());
      });
    });
    // As in k6, connecting is not part of the duration.
    request.on('socket', (socket) => socket.connecting && socket.once('connect', () => (started = performance.now())));
    request.on('timeout', () => request.destroy());
    request.on('error', () => finish(0, {}, ''));
    request.end(body);
  });
}

const range = (r) => (typeof r === 'number' ? { min: r, max: r } : r);

export default {
  // k6/http
  asyncRequest,
  expectedStatuses: (...ranges) => (status) => ranges.map(range).some(({ min, max }) => status >= min && status <= max),
  setResponseCallback: (callback) => (expected = callback),
  // k6/execution
  scenario,
  // k6/crypto, k6/encoding
  hmac(algorithm, secret, data, encoding) {
    if (encoding !== 'base64rawurl') throw new Error(`hmac: encoding ${encoding} is not supported`);
    return createHmac(algorithm, secret).update(data).digest('base64url');
  },
  b64encode(data, encoding) {
    if (encoding !== 'rawurl') throw new Error(`b64encode: encoding ${encoding} is not supported`);
    return Buffer.from(data).toString('base64url');
  },
};

// ---- the runner ----

const milliseconds = (text) => {
  const [, number, unit] = /^([\d.]+)(ms|s|m)$/.exec(text) ?? [];
  if (!unit) throw new Error(`cannot read duration ${text}`);
  return Number(number) * { ms: 1, s: 1000, m: 60_000 }[unit];
};

async function users(name, plan, script, data) {
  const until = performance.now() + milliseconds(plan.duration);
  let n = 0;
  const ask = async () => {
    while (performance.now() < until) {
      Object.assign(scenario, { name, iterationInTest: n++ });
      await script[plan.exec](data);
    }
  };
  await Promise.all(Array.from({ length: plan.vus }, ask));
}

async function arrivals(name, plan, script, data) {
  const total = Math.floor((plan.rate * milliseconds(plan.duration)) / milliseconds(plan.timeUnit));
  const interval = milliseconds(plan.timeUnit) / plan.rate;
  const running = new Set();
  const began = performance.now();
  for (let n = 0; n < total; n++) {
    const wait = began + n * interval - performance.now();
    if (wait > 0) await pause(wait);
    if (running.size >= plan.maxVUs) {
      record('dropped_iterations', 1);
      continue;
    }
    Object.assign(scenario, { name, iterationInTest: n });
    const iteration = script[plan.exec](data).finally(() => running.delete(iteration));
    running.add(iteration);
  }
  await Promise.all(running);
}

const executors = { 'constant-arrival-rate': arrivals, 'constant-vus': users };

function execute(name, plan, script, data) {
  const executor = executors[plan.executor];
  if (!executor) throw new Error(`executor ${plan.executor} is not supported`);
  return executor(name, plan, script, data);
}

async function run(path) {
  globalThis.__ENV = process.env;
  globalThis.open = (file) => readFileSync(new URL(file, pathToFileURL(path)), 'utf8'); // beside the script
  register(import.meta.url);
  const script = await import(pathToFileURL(path).href);
  const data = JSON.parse(JSON.stringify((await script.setup?.()) ?? null));
  const { scenarios, thresholds } = script.options;
  await Promise.all(Object.entries(scenarios).map(([name, plan]) => execute(name, plan, script, data)));
  agent.destroy();

  const statuses = {};
  for (const { tags } of samples.get('status') ?? []) statuses[tags.status] = (statuses[tags.status] ?? 0) + 1;
  console.log(`statuses ${JSON.stringify(statuses)}`);
  let crossed = false;
  for (const [selector, expressions] of Object.entries(thresholds)) {
    for (const expression of expressions) {
      const { holds, value } = judge(selector, expression);
      crossed ||= !holds;
      console.log(`${holds ? '✓' : '✗'} ${selector} ${expression}, is ${Number(value.toFixed(4))}`);
    }
  }
  return crossed ? 99 : 0;
}

// Scripts import this module too: only the command itself runs one.
if (process.argv[1] && pathToFileURL(process.argv[1]).href === import.meta.url && !globalThis.__ENV) {
  if (process.argv.length !== 3) {
    console.error('usage: node tests/load/k6stub.mjs SCRIPT');
    process.exit(2);
  }
  // Not awaited: the script imports this module, which must have been evaluated by then.
  run(process.argv[2]).then(
    (code) => (process.exitCode = code),
    (error) => {
      console.error(error);
      process.exitCode = 107; // as k6 for an exception in a script
    },
  );
}
