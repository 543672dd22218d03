// What somebody wrote into a patient's name runs in no browser: a report and a
// document full of scripts are opened in headless Chromium in every form that
// the server gives them, and in OHIF's list of studies.
//
//     node hostile.mjs FOLDER DIST DICOMWEB-URL VIEWER-PORT PICTURES SAMPLES
//
// As kinds.mjs. A script that ran would have changed the title of its page.

import assert from 'node:assert/strict';
import path from 'node:path';

import { serve } from './page.mjs';
import { launch, store, until } from './reader.mjs';

const [folder, dist, dicomweb, port, , samples] = process.argv.slice(2);
if (!samples) {
  console.error('node hostile.mjs FOLDER DIST DICOMWEB-URL VIEWER-PORT PICTURES SAMPLES');
  process.exit(2);
}
const root = dicomweb.replace(/\/dicomweb$/, '');
const script = encodeURIComponent('<script>document.title="RUN"</script>');

const report = await store(dicomweb, path.join(samples, 'hostile-report.dcm'));
const document_ = await store(dicomweb, path.join(samples, 'hostile-document.dcm'));
const addresses = [
  `${dicomweb}${report.instance}`,
  `${dicomweb}${report.instance}/rendered`,
  `${dicomweb}${report.instance}/rendered?accept=text/html`,
  `${dicomweb}${report.instance}/rendered?accept=text/xml`,
  `${dicomweb}${report.instance}/rendered?accept=text/plain`,
  `${dicomweb}${report.instance}/metadata`,
  `${dicomweb}${report.instance}/metadata?accept=application/dicom%2Bxml`,
  `${dicomweb}${document_.instance}`,
  `${dicomweb}${document_.instance}?accept=text/xml`,
  `${dicomweb}${document_.instance}/rendered`,
  `${dicomweb}${document_.instance}/bulkdata`,
  `${dicomweb}/studies/${report.study}/rendered`,
  `${dicomweb}/studies?PatientName=*script*`,
  `${dicomweb}/studies?${script}=${script}`,
  `${dicomweb}/studies?limit=${script}`,
  `${dicomweb}/studies/${script}`,
  `${dicomweb}/${script}`,
  `${root}/${script}?${script}`,
  `${root}/conformance?accept=text/html&${script}`,
  `${root}/docs/${script}`,
  `${root}/auth/login?next=${script}`,
  `${root}/auth/login?next=${encodeURIComponent('javascript:document.title="RUN"')}`,
];

const browser = await launch(folder);
const viewer = await serve(dist, dicomweb, Number(port));
try {
  const context = await browser.newContext();
  let shown = 0;
  const control = await context.newPage();
  await control.setContent('<script>document.title="RUN"</script>');
  assert.equal(await control.title(), 'RUN', 'what would be seen if a script ran');
  for (const address of addresses) {
    const page = await context.newPage();
    page.on('dialog', () => assert.fail(`a dialog at ${address}`));
    // What a browser saves instead of showing it cannot run, nor an error without a page.
    const answer = await page.goto(address).catch(error => {
      assert.match(String(error), /Download is starting|ERR_ABORTED|ERR_HTTP_RESPONSE_CODE_FAILURE/, address);
    });
    await page.waitForTimeout(200);
    assert.notEqual(await page.title(), 'RUN', address);
    if (answer) {
      shown++;
      assert.equal(answer.headers()['x-content-type-options'], 'nosniff', address);
      const policy = answer.headers()['content-security-policy'] ?? '';
      const type = answer.headers()['content-type'] ?? '';
      assert.ok(policy.includes('default-src') || /^(image|video)\//.test(type) || answer.status() === 204, address);
    }
    await page.close();
  }
  assert.ok(shown > 10, `${shown} pages were shown`);

  // The pages that try the API out work under their policy.
  const docs = await context.newPage();
  const refused = [];
  docs.on('console', message => /Content Security Policy/.test(message.text()) && refused.push(message.text()));
  await docs.goto(`${root}/docs/index.html`);
  await docs.getByText('Search for studies', { exact: true }).waitFor();
  assert.deepEqual(refused, []);

  const page = await context.newPage();
  await page.goto(viewer.url);
  await until('the list of studies', async () => (await page.content()).includes('&lt;script&gt;'));
  await page.waitForTimeout(1000);
  assert.notEqual(await page.title(), 'RUN');
  console.log(`Hostile texts: ${addresses.length} addresses, ${shown} of them shown, and OHIF's list: nothing ran`);
} finally {
  viewer.stop();
  await browser.close();
}
