// Logins in a real browser: headless Chromium, a running server, and a real
// OpenID Connect provider (provider.mjs). What must not work is tried as well.
//
//     node session.mjs FOLDER http://127.0.0.1:HILUM http://127.0.0.1:ISSUER PROVIDER-PID PASSWORD
//
// FOLDER has playwright-core in its node_modules; the account `ada` has the
// PASSWORD. Exits with 1 at the first difference.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';

const [folder, hilum, issuer, providerPid, password] = process.argv.slice(2);
const { chromium } = createRequire(path.resolve(folder, 'x.js'))('playwright-core');
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
const step = (text) => console.log(`ok  ${text}`);
// With the cookies of the page's browser; the answers of the API themselves may run nothing.
const whoami = async (page) => (await page.request.get(`${hilum}/auth/session`)).json();

async function atIssuer(page, login) {
  await page.fill('input[name=login]', login);
  await page.fill('input[name=password]', 'anything');
  await page.click('button[type=submit]');
  await page.waitForLoadState();
  // Consent is asked for at the first login.
  if (page.url().startsWith(issuer)) {
    await page.click('button[type=submit]');
  }
}

try {
  // 1. By the issuer.
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  await page.goto(`${hilum}/dicomweb/studies?PatientName=DOE`);
  assert.equal(page.url(), `${hilum}/auth/login?next=/dicomweb/studies`, 'led to the login, without the query');
  assert.equal(await page.title(), 'Log in – Hilum');
  const background = await page.locator('button').evaluate((button) => getComputedStyle(button).backgroundColor);
  assert.equal(background, 'rgb(19, 74, 142)', 'its style is allowed by its policy');
  assert.deepEqual(complaints, []);
  let callback;
  page.on('request', (request) => {
    if (request.url().startsWith(`${hilum}/auth/callback`)) callback = request.url();
  });
  await page.click('text=Log in with Test issuer');
  assert.ok(page.url().startsWith(issuer), page.url());
  await atIssuer(page, 'ada');
  await page.waitForURL(`${hilum}/dicomweb/studies`);
  assert.equal(await page.textContent('body'), '[]');
  const me = await whoami(page);
  assert.equal(me.subject, `${issuer}|ada`);
  assert.equal(me.name, 'Dr. ada');
  assert.deepEqual(me.roles, ['clinician'], 'from the userinfo, by the mapping');
  step('a browser logs in at the issuer and comes back to where it wanted to');

  const cookie = (await context.cookies(hilum)).find(({ name }) => name === 'hilum');
  assert.ok(cookie.httpOnly && cookie.sameSite === 'Lax', JSON.stringify(cookie));
  const elsewhere = page.evaluate(() => fetch('/auth/session'));
  await assert.rejects(elsewhere, /Failed to fetch/, 'what the API answers runs nothing');
  await page.goto(`${hilum}/docs/index.html`);
  assert.ok(!(await page.evaluate(() => document.cookie)).includes('hilum'), 'no script sees it');
  step('scripts do not see the cookie');

  // 2. What must not work.
  await page.goto(callback);
  assert.match(await page.textContent('[role=alert]'), /not begun in this browser/, 'a code is used once');
  const victim = await browser.newContext();
  const other = await victim.newPage();
  await other.goto(callback);
  assert.match(await other.textContent('[role=alert]'), /not begun in this browser/, 'another browser');
  await other.goto(`${hilum}/auth/login?issuer=${encodeURIComponent(issuer)}`);
  await other.goto(`${hilum}/auth/callback?code=x&state=guessed`);
  assert.match(await other.textContent('[role=alert]'), /another login/);
  assert.equal((await victim.request.get(`${hilum}/auth/session`)).status(), 401);
  step('an answer of another login, or for another browser, begins no session');

  const foreign = await context.newPage();
  await foreign.goto(`${issuer}/.well-known/openid-configuration`);
  const status = foreign.waitForEvent('response', (response) => response.url() === `${hilum}/auth/logout`);
  await foreign.evaluate(
    (url) => fetch(url, { method: 'POST', mode: 'no-cors', credentials: 'include' }),
    `${hilum}/auth/logout`,
  );
  assert.equal((await status).status(), 403);
  await page.goto(`${hilum}/docs/index.html`);
  assert.equal((await whoami(page)).subject, `${issuer}|ada`);
  step('a page of another origin does not end the session');

  // 3. Tokens of the issuer, and its new keys.
  const bearer = async () => {
    const basic = Buffer.from(`hilum:${encodeURIComponent('a secret with: signs & spaces')}`).toString('base64');
    const answer = await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${basic}` },
      body: new URLSearchParams({
        grant_type: 'client_credentials', resource: 'urn:hilum', scope: 'system/ImagingStudy.rs',
      }),
    });
    const body = await answer.json();
    assert.ok(body.access_token, JSON.stringify(body));
    return body.access_token;
  };
  const asked = (token) => fetch(`${hilum}/auth/session`, { headers: { authorization: `Bearer ${token}` } });
  const old = await bearer();
  const device = await (await asked(old)).json();
  assert.deepEqual([device.method, device.roles, device.scopes], ['jwt', ['uploader'], ['system/ImagingStudy.rs']]);
  process.kill(Number(providerPid), 'SIGUSR2');
  await new Promise((done) => setTimeout(done, 10_500));
  assert.equal((await asked(await bearer())).status, 200, 'by the new key');
  assert.equal((await asked(old)).status, 401, 'the old key is gone');
  step('tokens of the issuer count, and its keys rotate');

  // 4. Swagger UI, in a browser that is not logged in.
  const fresh = await browser.newContext();
  const docs = await fresh.newPage();
  await docs.goto(`${hilum}/docs/index.html`);
  await docs.click('button.authorize');
  const scheme = docs.locator('.auth-container', { hasText: 'bearer' }).first();
  await scheme.locator('input').fill(await bearer());
  await scheme.locator('button.authorize').click();
  await docs.click('button.btn-done');
  const operation = docs.locator('#operations-Authentication-session');
  await operation.locator('.opblock-summary-control').click();
  await operation.locator('button.try-out__btn').click();
  const answer = docs.waitForResponse(`${hilum}/auth/session`);
  await operation.locator('button.execute').click();
  assert.equal((await (await answer).json()).method, 'jwt');
  step('the button Authorize of the documentation works');

  // 5. A local account, by keyboard and labels only.
  await docs.goto(`${hilum}/auth/login?next=/auth/session`);
  await docs.getByLabel('Name').fill('ada');
  await docs.getByLabel('Password').fill('wrong');
  await docs.keyboard.press('Enter');
  assert.match(await docs.getByRole('alert').textContent(), /wrong/);
  assert.equal(await docs.getByLabel('Name').inputValue(), 'ada');
  await docs.getByLabel('Password').fill(password);
  await docs.keyboard.press('Enter');
  await docs.waitForURL(`${hilum}/auth/session`);
  assert.equal((await whoami(docs)).subject, 'ada');
  await docs.goto(`${hilum}/docs/index.html`);
  const ended = await docs.evaluate(async () => (await fetch('/auth/logout', { method: 'POST' })).status);
  assert.equal(ended, 204);
  assert.equal((await fresh.request.get(`${hilum}/auth/session`)).status(), 401);
  step('a local account logs in and out');
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
