// A limit is the limit, whatever node a request lands on: the scenario "flood" of scenarios.json,
// three times each limit, offered to a cluster through its front, admits the burst and the rate, no
// more and hardly less.
//
//   docker compose up --build --scale gateway=3
//   k6 run tests/load/cluster.js
//
// SECONDS    20       USER_RPS 100   USER_BURST 150   IP_RPS 200   IP_BURST 250, from config.yaml
//
// The address counts as one client, so nothing else on this machine may call the public route
// meanwhile. Both limits together stay below the global one.
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { check, sleep } from 'k6';
import { token } from './token.js';

const file = JSON.parse(open('./scenarios.json'));
const flooding = file.scenarios.flood;
const gateway = __ENV.GATEWAY || 'http://127.0.0.1:8080';
const seconds = Number(__ENV.SECONDS || flooding.seconds);

const limit = (name, { rps, burst }) => ({
  rps: Number(__ENV[`${name}_RPS`] || rps),
  burst: Number(__ENV[`${name}_BURST`] || burst),
});
const limits = { user: limit('USER', file.limits.user), ip: limit('IP', file.limits.ip) };
const target = Object.fromEntries(flooding.targets.map((it) => [it.name, it]));
const rate = ({ limit: name, share }) => share * limits[name].rps;

const admitted = new Counter('admitted');

// Tokens are drawn ahead of demand, hence a little over; those left with a node at the end, a little less.
const bounds = ({ rps, burst }) => {
  const allowed = burst + rps * seconds;
  const { least, most } = flooding.thresholds.admitted;
  return [`count<=${Math.ceil(allowed * most)}`, `count>=${Math.floor(allowed * least)}`];
};

const flood = (it) => ({
  executor: 'constant-arrival-rate',
  exec: it.name,
  rate: rate(it),
  timeUnit: '1s',
  duration: `${seconds}s`,
  preAllocatedVUs: 50,
  maxVUs: 500,
  gracefulStop: '5s',
});

export const options = {
  scenarios: { user: flood(target.user), ip: flood(target.ip) },
  thresholds: {
    'admitted{scope:user}': bounds(limits.user),
    'admitted{scope:ip}': bounds(limits.ip),
    http_req_failed: [`rate<${flooding.thresholds.errors}`],
    checks: ['rate==1'],
    // Demand that was not offered proves nothing: a sign of a load generator too slow.
    dropped_iterations: [`count<${Math.ceil((1 - flooding.thresholds.offered) * seconds * (rate(target.user) + rate(target.ip)))}`],
  },
};

// A refusal is what is asked for here; anything else but success is a failure.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 299 }, 429));

export function setup() {
  sleep(limits.ip.burst / limits.ip.rps + 0.5); // the address' bucket fills up
  return { token: token(`cluster-${Date.now()}`) };
}

async function ask({ name: scope, method, path }, headers) {
  const answer = await http.asyncRequest(method, `${gateway}${path}`, null, {
    headers,
    tags: { name: path, scope },
    redirects: 0,
    timeout: '10s',
  });
  if (answer.status >= 200 && answer.status < 300) admitted.add(1, { scope });
  if (answer.status === 429) {
    check(answer, { 'a refusal says when to come back': (r) => /^[1-9][0-9]*$/.test(r.headers['Retry-After'] || '') });
  }
}

export async function user(data) {
  await ask(target.user, { Authorization: `Bearer ${data.token}` });
}

export async function ip() {
  await ask(target.ip, {});
}
