// A share link in OHIF in headless Chromium, without an account: the study of
// the link is in the list and painted, another is not there; once with the URL
// that opening the link gave, once by OHIF's DICOMweb proxy.
//
//     node shared.mjs FOLDER DIST http://127.0.0.1:8080 VIEWER-PORT PICTURES TOKEN
//
// Arguments as for session.mjs, but for the server's root and the token of an
// administrator; authentication is on and the archive empty.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { serve } from './page.mjs';
import { dismiss, launch, painted, until } from './reader.mjs';

const [folder, dist, root, port, pictures, token] = process.argv.slice(2);
if (!token) {
  console.error('node shared.mjs FOLDER DIST ROOT VIEWER-PORT PICTURES TOKEN');
  process.exit(2);
}
const fixtures = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../../fixtures');
mkdirSync(pictures, { recursive: true });

const post = async (place, type, body) => {
  const headers = { 'Content-Type': type, Authorization: `Bearer ${token}` };
  const answer = await fetch(`${root}${place}`, { method: 'POST', headers, body });
  assert.ok(answer.ok, `${place}: ${answer.status} ${answer.ok || (await answer.text())}`);
  return answer.json();
};
const store = async file => {
  const stored = await post('/dicomweb/studies', 'application/dicom', readFileSync(path.join(fixtures, file)));
  return stored['00081190'].Value[0].split('/').pop();
};
const [ct, mr] = [await store('CT_small.dcm'), await store('MR_small.dcm')];
const link = await post('/shares', 'application/json', JSON.stringify({ studies: [ct] }));
const opened = await (await fetch(link.url, { method: 'POST' })).json();

const viewer = await serve(path.resolve(dist), opened.dicomweb, Number(port));
const browser = await launch(folder);
try {
  const page = await browser.newPage({ viewport: { width: 1500, height: 900 } });
  const refused = [];
  page.on('response', answer => {
    if (answer.url().startsWith(root) && answer.status() >= 400) refused.push([answer.status(), answer.url()]);
  });
  await page.goto(viewer.url, { waitUntil: 'domcontentloaded' });
  await until('the list with one study', async () => {
    await dismiss(page);
    const rows = await page.locator('tbody tr').allInnerTexts().catch(() => []);
    return rows.join('\n').includes('1CT1') && !rows.join('\n').includes('4MR1');
  });
  for (const [name, place] of [
    ['link', `/viewer?StudyInstanceUIDs=${ct}`],
    ['proxy', `/viewer/dicomwebproxy?studyInstanceUIDs=${ct}&url=${encodeURIComponent(opened.configuration)}`],
  ]) {
    await page.goto(`${viewer.url}${place}`, { waitUntil: 'domcontentloaded' });
    const shades = await until(`the image by the ${name}`, async () => {
      await dismiss(page);
      const [, , , shown] = await painted(page, 128, 128);
      const different = new Set(shown).size;
      return different > 40 && different;
    });
    await page.screenshot({ path: path.join(pictures, `shared-${name}.png`) });
    console.log(`shared, by the ${name}: painted in ${shades} shades`);
  }
  assert.deepEqual(refused, [], 'refused requests');
  await page.goto(`${viewer.url}/viewer?StudyInstanceUIDs=${mr}`, { waitUntil: 'domcontentloaded' });
  await page.waitForTimeout(5000);
  assert.equal(await page.locator('.cornerstone-canvas').count(), 0, 'a study that is not of the link');
  console.log('shared: another study is not there');
} finally {
  await browser.close();
  viewer.stop();
}
