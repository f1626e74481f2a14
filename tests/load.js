// Load test: 70 % of every limit of the shipped config.yaml, where nobody may be refused.
//
//   k6 run tests/load.js                      against http://127.0.0.1:8080
//   GATEWAY=http://host:port k6 run tests/load.js
//
// TOKEN      a token of your own (one user; without it, tokens are made with JWT_SECRET)
// DURATION   30s      SHARE   0.7, the part of each limit to offer      P99_MS   10
//
// Eight users and one address together offer 70 % of the global limit too. Anything but 2xx is an
// error, a 429 included: below its limits a client is never refused.
import http from 'k6/http';
import exec from 'k6/execution';
import { token } from './load/token.js';

const gateway = __ENV.GATEWAY || 'http://127.0.0.1:8080';
const duration = __ENV.DURATION || '30s';
const share = Number(__ENV.SHARE || 0.7);
const limits = { global: 1000, user: 100, ip: 200 }; // requests per second, from config.yaml

const users = __ENV.TOKEN ? 1 : (limits.global - limits.ip) / limits.user;

const steady = (run, rate) => ({
  executor: 'constant-arrival-rate',
  exec: run,
  rate: Math.max(1, Math.floor(rate * share)),
  timeUnit: '1s',
  duration,
  preAllocatedVUs: 20,
  maxVUs: 200,
});

export const options = {
  scenarios: {
    users: steady('user', users * limits.user),
    public: steady('visitor', limits.ip),
  },
  thresholds: {
    http_req_failed: ['rate<0.01'],
    http_req_duration: [`p(99)<${__ENV.P99_MS || 10}`],
    // An iteration that could not start is load that was not offered.
    dropped_iterations: ['count<10'],
  },
};

http.setResponseCallback(http.expectedStatuses({ min: 200, max: 299 }));

export function setup() {
  if (__ENV.TOKEN) return { tokens: [__ENV.TOKEN] };
  const run = Date.now(); // new users each run: full buckets
  return { tokens: Array.from({ length: users }, (_, i) => token(`load-${run}-${i}`)) };
}

const get = (path, name, headers) =>
  http.asyncRequest('GET', `${gateway}${path}`, null, { headers, tags: { name }, redirects: 0, timeout: '10s' });

export async function user({ tokens }) {
  const turn = exec.scenario.iterationInTest;
  await get(`/api/users/${turn}`, '/api/users/*', { Authorization: `Bearer ${tokens[turn % tokens.length]}` });
}

export async function visitor() {
  await get('/api/public/items', '/api/public/*', {});
}
