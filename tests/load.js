// Load test: the scenario "steady" of load/scenarios.json, 70 % of every limit of the shipped
// config.yaml, where nobody may be refused.
//
//   k6 run tests/load.js                      against http://127.0.0.1:8080
//   GATEWAY=http://host:port k6 run tests/load.js
//   PROFILE=throughput k6 run tests/load.js   as fast as answers come; gateway -config tests/load/unlimited.yaml
//
// TOKEN      a token of your own (one user; without it, tokens are made with JWT_SECRET)
// DURATION   30s      SHARE   0.7, the part of each limit to offer      P99_MS   10
//
// Anything but 2xx is an error, a 429 included: below its limits a client is never refused.
import http from 'k6/http';
import exec from 'k6/execution';
import { token } from './load/token.js';

const { limits, scenarios } = JSON.parse(open('./load/scenarios.json'));
const profile = __ENV.PROFILE || 'steady';
const gateway = __ENV.GATEWAY || 'http://127.0.0.1:8080';

if (profile !== 'steady' && profile !== 'throughput') {
  throw new Error(`PROFILE: must be steady or throughput, got ${profile}`);
}
const { seconds, targets, thresholds } = scenarios[profile];
const duration = __ENV.DURATION || `${seconds}s`;
const usersOf = (target) => (__ENV.TOKEN ? Math.min(target.users, 1) : target.users) || 0;

function load(target) {
  if (target.workers) return { executor: 'constant-vus', exec: target.name, vus: target.workers, duration };
  const share = Number(__ENV.SHARE || target.share);
  return {
    executor: 'constant-arrival-rate',
    exec: target.name,
    rate: Math.max(1, Math.floor(limits[target.limit].rps * Math.max(1, usersOf(target)) * share)),
    timeUnit: '1s',
    duration,
    preAllocatedVUs: 20,
    maxVUs: 200,
  };
}

const byName = (value) => Object.fromEntries(targets.map((target) => [target.name, value(target)]));
const target = byName((it) => it);

export const options = {
  scenarios: byName(load),
  thresholds: {
    http_req_failed: [`rate<${thresholds.errors}`],
    http_req_duration: [`p(99)<${__ENV.P99_MS || thresholds.p99_ms}`],
    // An iteration that could not start is load that was not offered.
    dropped_iterations: ['count<10'],
  },
};

http.setResponseCallback(http.expectedStatuses({ min: 200, max: 299 }));

export function setup() {
  if (__ENV.TOKEN) return { tokens: [__ENV.TOKEN] };
  const run = Date.now(); // new users each run: full buckets
  return { tokens: Array.from({ length: target.user.users }, (_, i) => token(`load-${run}-${i}`)) };
}

const ask = ({ method, path }, headers) =>
  http.asyncRequest(method, `${gateway}${path}`, null, { headers, tags: { name: path }, redirects: 0, timeout: '10s' });

export async function user({ tokens }) {
  const turn = exec.scenario.iterationInTest;
  await ask(target.user, { Authorization: `Bearer ${tokens[turn % tokens.length]}` });
}

export async function ip() {
  await ask(target.ip, {});
}
