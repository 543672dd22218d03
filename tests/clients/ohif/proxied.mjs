// A tenant behind a proxy, as a hospital has it: nginx speaks TLS and gives the
// viewer and the archive one origin, and a reader of the tenant logs in and
// opens a study in OHIF in headless Chromium. URLs in answers are those of the
// proxy, changes by other pages are refused, other tenants are not there.
//
//     node proxied.mjs FOLDER DIST http://127.0.0.1:HILUM TLS-PORT PICTURES PASSWORD NGINX
//
// Arguments as for session.mjs, but for the server's root, the port that nginx
// listens on, the password of `ada`, an uploader and clinician of the tenant
// `north`, and a folder with the certificate for nginx; `south` is another tenant.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { configuration } from './page.mjs';
import { dismiss, launch, painted, until } from './reader.mjs';

const [folder, dist, root, port, pictures, password, place] = process.argv.slice(2);
if (!place) {
  console.error('node proxied.mjs FOLDER DIST ROOT TLS-PORT PICTURES PASSWORD NGINX');
  process.exit(2);
}
const fixtures = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../../fixtures');
const site = `https://localhost:${port}`;
mkdirSync(pictures, { recursive: true });
mkdirSync(path.join(place, 'site'), { recursive: true });
writeFileSync(path.join(place, 'site/app-config.js'), configuration(`${site}/north/dicomweb`));
// What docs/SECURITY-SETUP.md shows, and the viewer's files.
writeFileSync(
  path.join(place, 'nginx.conf'),
  // Of root, it would else read these files as nobody.
  `${process.getuid() === 0 ? 'user root; ' : ''}daemon off; pid ${place}/nginx.pid; error_log ${place}/error.log;
events {}
http {
  access_log off;
  types { text/html html; text/javascript js mjs; text/css css; application/wasm wasm; application/json json; image/svg+xml svg; }
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${place}/${name};`).join(' ')}
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${place}/server.pem;
    ssl_certificate_key ${place}/server.key;
    location = /app-config.js { root ${place}/site; }
    location / { root ${path.resolve(dist)}; try_files $uri /index.html; }
    location ~ ^/(dicomweb|north|south|auth|docs)(/|$) {
      proxy_pass ${root};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      client_max_body_size 0;
      proxy_request_buffering off;
      proxy_buffering off;
    }
  }
}
`
);
const nginx = spawn('nginx', ['-p', place, '-e', `${place}/error.log`, '-c', path.join(place, 'nginx.conf')], { stdio: 'inherit' });
const browser = await launch(folder);
try {
  const context = await browser.newContext({ viewport: { width: 1500, height: 900 }, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const refused = [];
  page.on('response', answer => {
    if (answer.url().startsWith(`${site}/north`) && answer.status() >= 400) refused.push([answer.status(), answer.url()]);
  });
  await until('nginx', () => context.request.get(`${site}/auth/login`).then(answer => answer.ok(), () => false));

  await page.goto(`${site}/north/dicomweb/studies`);
  assert.equal(page.url(), `${site}/auth/login?next=/north/dicomweb/studies`);
  await page.goto(`${site}/auth/login?next=/`);
  await page.getByLabel('Name').fill('ada');
  await page.getByLabel('Password').fill(password);
  await page.keyboard.press('Enter');
  await page.waitForURL(({ pathname }) => !pathname.startsWith('/auth/'), { waitUntil: 'commit' });
  const cookie = (await context.cookies(site)).find(({ name }) => name === '__Host-hilum');
  assert.ok(cookie?.secure && cookie.httpOnly, 'the cookie is one for TLS');
  const session = await (await context.request.get(`${site}/auth/session`)).json();
  assert.deepEqual(session.archives.map(({ dicomweb }) => dicomweb), [`${site}/north/dicomweb`]);
  console.log('proxied: the login goes by the proxy, and leads into one archive');

  // A store with the session, as pages of other origins, no browser, and the own page send it.
  const store = (headers, file = 'CT_small.dcm') =>
    context.request.post(`${site}/north/dicomweb/studies`, {
      headers: { 'Content-Type': 'application/dicom', ...headers },
      data: readFileSync(path.join(fixtures, file)),
    });
  assert.equal((await store({ Origin: 'https://evil.example' })).status(), 403);
  assert.equal((await store({ Origin: root })).status(), 403, 'the server behind the proxy is not the page');
  assert.equal((await store({})).status(), 403);
  const stored = await store({ 'X-CSRF-Token': session.csrf_token });
  assert.equal(stored.status(), 200);
  const url = (await stored.json())['00081190'].Value[0];
  assert.ok(url.startsWith(`${site}/north/dicomweb/studies/`), url);
  const study = url.split('/').pop();
  // Larger than nginx takes unasked: 1 MiB.
  assert.ok((await store({ Origin: site }, 'examples_ybr_color.dcm')).ok());
  const metadata = await (await context.request.get(`${url}/metadata`)).json();
  assert.ok(JSON.stringify(metadata).includes(`"${site}/north/dicomweb/`), 'bulk data by the proxy');
  for (const other of ['/south/dicomweb/studies', '/dicomweb/studies']) {
    assert.ok([403, 404].includes((await context.request.get(`${site}${other}`)).status()), other);
  }
  console.log('proxied: URLs are those of the proxy, and other pages change nothing');

  await page.goto(`${site}/`, { waitUntil: 'domcontentloaded' });
  await until('the list of studies', async () => {
    await dismiss(page);
    return (await page.locator('tbody tr').allInnerTexts().catch(() => [])).join('\n').includes('1CT1');
  });
  await page.goto(`${site}/viewer?StudyInstanceUIDs=${study}`, { waitUntil: 'domcontentloaded' });
  const shades = await until('the image', async () => {
    await dismiss(page);
    const [, , , shown] = await painted(page, 128, 128);
    const different = new Set(shown).size;
    return different > 40 && different;
  });
  await page.screenshot({ path: path.join(pictures, 'proxied.png') });
  assert.deepEqual(refused, [], 'refused requests');
  console.log(`proxied: listed, and painted in ${shades} shades`);
} finally {
  await browser.close();
  nginx.kill();
}
