// An OpenID Connect provider for the session of session.mjs: oidc-provider with
// its own login form, which lets everybody in.
//
//     node provider.mjs FOLDER PORT CALLBACK-URL
//
// FOLDER has oidc-provider in its node_modules. SIGUSR2 makes new keys.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, port, callback] = process.argv.slice(2);
const resolve = createRequire(path.resolve(folder, 'x.js')).resolve;
const { Provider } = await import(pathToFileURL(resolve('oidc-provider')));
const issuer = `http://127.0.0.1:${port}`;
let generation = 0;

function key(kind, options, alg) {
  const jwk = generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' });
  return { ...jwk, alg, use: 'sig', kid: `${alg}-${generation}` };
}

function provider() {
  generation += 1;
  return new Provider(issuer, {
    clients: [
      {
        client_id: 'hilum',
        client_secret: 'a secret with: signs & spaces',
        redirect_uris: [callback],
        grant_types: ['authorization_code', 'client_credentials'],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [key('ec', { namedCurve: 'P-256' }, 'ES256'), key('rsa', { modulusLength: 2048 }, 'RS256')] },
    cookies: { keys: ['of a test'] },
    claims: { openid: ['sub'], profile: ['name', 'realm_access'] },
    findAccount: (_, sub) => ({
      accountId: sub,
      claims: () => ({ sub, name: `Dr. ${sub}`, realm_access: { roles: ['radiologist', 'unmapped'] } }),
    }),
    extraTokenClaims: () => ({ realm_access: { roles: ['device'] } }),
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_, resource) => ({
          audience: resource,
          scope: 'system/ImagingStudy.rs',
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    pkce: { required: () => true },
  }).callback();
}

let callbackOf = provider();
process.on('SIGUSR2', () => {
  callbackOf = provider();
});
createServer((request, response) => callbackOf(request, response)).listen(Number(port), '127.0.0.1');
