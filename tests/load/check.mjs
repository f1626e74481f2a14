// Checks the load scripts themselves: against a small gateway each must pass where it should and
// fail where it should, or their thresholds say nothing. Runs on Node.js, without k6, in seconds.
import http from 'node:http';
import { createHmac } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const secret = /DevSecret = "([^"]+)"/.exec(readFileSync(here('../../auth/config.go'), 'utf8'))[1];

function verified(request) {
  const [header, claims, signature] = (request.headers.authorization ?? '').replace('Bearer ', '').split('.');
  const want = createHmac('sha256', secret).update(`${header}.${claims}`).digest('base64url');
  if (signature !== want) return null;
  const { sub, iss, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString());
  return iss === 'api-gateway' && exp > Date.now() / 1000 ? sub : null;
}

// gateway(behaviour) answers as a gateway would that misbehaves so:
//   failEvery n, status, delay ms, limit factor, burst, retryAfter
// Its buckets count time in requests: at three times the rate every third request brings a token,
// on a slow machine too.
function gateway({ failEvery, status = 200, delay = 0, limit, retryAfter = '1' }) {
  const seen = new Map();
  let requests = 0;
  return http.createServer(async (request, response) => {
    const user = request.url.startsWith('/api/users/');
    const key = user ? verified(request) : 'ip';
    const count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    if (delay) await pause(delay);
    const answer = (code, headers = {}) => response.writeHead(code, headers).end('{}');
    if (key === null) return answer(401);
    if (failEvery && ++requests % failEvery === 0) return answer(503);
    if (!limit) return answer(status, status === 302 ? { Location: '/elsewhere' } : {});
    const allowed = limit * (Number(user ? limits.USER_BURST : limits.IP_BURST) + count / 3);
    const admitted = seen.get(`${key} admitted`) ?? 0;
    if (admitted + 1 > allowed) return answer(429, retryAfter ? { 'Retry-After': retryAfter } : {});
    seen.set(`${key} admitted`, admitted + 1);
    return answer(200);
  });
}

const limits = { USER_RPS: '20', USER_BURST: '30', IP_RPS: '40', IP_BURST: '50' };
const load = { script: '../load.js', env: { DURATION: '2s', SHARE: '0.1', P99_MS: '60000' } };
const throughput = { script: '../load.js', env: { ...load.env, PROFILE: 'throughput' } };
const cluster = { script: 'cluster.js', env: { SECONDS: '3', ...limits } };

// what a case says, the script, the gateway's behaviour, the exit code wanted, more environment
const cases = [
  ['load passes when all is well', load, {}, 0],
  ['load fails on 2 % of errors', load, { failEvery: 50 }, 99],
  ['load fails on a redirect', load, { status: 302 }, 99],
  ['load fails when refused', load, { status: 429 }, 99],
  ['load fails on a slow answer', load, { delay: 60 }, 99, { P99_MS: '20' }],
  ['load fails with a wrong secret', load, {}, 99, { JWT_SECRET: 'another' }],
  ['throughput passes when all is well', throughput, {}, 0],
  ['throughput fails on 2 % of errors', throughput, { failEvery: 50 }, 99],
  ['throughput fails on a slow answer', throughput, { delay: 60 }, 99, { P99_MS: '20' }],
  ['an unknown profile is refused', load, {}, 107, { PROFILE: 'fast' }],
  ['cluster passes when the limit is the limit', cluster, { limit: 1 }, 0],
  ['cluster fails when nothing limits', cluster, {}, 99],
  ['cluster fails when each node limits alone', cluster, { limit: 3 }, 99],
  ['cluster fails when 10 % too much pass', cluster, { limit: 1.1 }, 99],
  ['cluster fails when too little passes', cluster, { limit: 0.8 }, 99],
  ['cluster fails when a refusal says no time', cluster, { limit: 1, retryAfter: '' }, 99],
];

async function run([name, { script, env }, behaviour, want, more = {}]) {
  const server = gateway(behaviour).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { PATH } = process.env; // nothing else: a TOKEN of the caller must not get in
  const child = spawn(process.execPath, [here('k6stub.mjs'), here(script)], {
    env: { PATH, GATEWAY: `http://127.0.0.1:${server.address().port}`, ...env, ...more },
  });
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  child.stderr.on('data', (data) => (output += data));
  const giveUp = setTimeout(() => child.kill(), 60_000);
  const [code] = await once(child, 'close');
  clearTimeout(giveUp);
  server.close();
  server.closeAllConnections();
  const ok = code === want;
  console.log(ok ? `ok   ${name}` : `FAIL ${name}: exit code ${code}, want ${want}\n${output}`);
  return ok;
}

// Three at a time: more would measure the machine.
const waiting = [...cases];
const results = [];
async function lane() {
  while (waiting.length > 0) results.push(await run(waiting.shift()));
}
await Promise.all([lane(), lane(), lane()]);
const failed = results.filter((ok) => !ok).length;
console.log(`load scripts: ${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
