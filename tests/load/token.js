// Tokens for the load scripts: HS256, as the gateway's jwt section expects them.
import crypto from 'k6/crypto';
import encoding from 'k6/encoding';

// The development secret of the shipped config.yaml.
const secret = __ENV.JWT_SECRET || 'change-me-in-production';

const segment = (object) => encoding.b64encode(JSON.stringify(object), 'rawurl');

// token signs a JWT for the user named sub, good for an hour.
export function token(sub) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub, iss: 'api-gateway', iat: now, exp: now + 3600 };
  const signed = `${segment({ alg: 'HS256', typ: 'JWT' })}.${segment(claims)}`;
  return `${signed}.${crypto.hmac('sha256', secret, signed, 'base64rawurl')}`;
}
