// A reader's session in a real browser: OHIF in headless Chromium against a
// running server. The study list shows what is stored, each of its filters
// finds what it should, and a CT, an MR and a multi-frame study are opened and
// painted: what the canvas shows is compared with the pixels of the file.
//
//     node session.mjs FOLDER DIST http://127.0.0.1:8080/dicomweb VIEWER-PORT PICTURES
//
// FOLDER has playwright-core in its node_modules, DIST is the dist folder of
// @ohif/app, and screenshots go to PICTURES. The server must allow the origin http://127.0.0.1:VIEWER-PORT.
// Exits with 1 at the first difference. The archive must be empty.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { serve } from './page.mjs';
import { correlation, dismiss, json, launch, painted, store, until } from './reader.mjs';

const [folder, dist, dicomweb, port, pictures] = process.argv.slice(2);
if (!pictures) {
  console.error('node session.mjs FOLDER DIST DICOMWEB-URL VIEWER-PORT PICTURES');
  process.exit(2);
}
const fixtures = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../../fixtures');
mkdirSync(pictures, { recursive: true });

/** Native 16-bit pixels at the end of the file. */
const IMAGES = {
  CT: { file: 'CT_small.dcm', rows: 128, columns: 128, frames: 1, patient: '1CT1' },
  MR: { file: 'MR_small.dcm', rows: 64, columns: 64, frames: 1, patient: '4MR1' },
  'multi-frame': { file: 'emri_small.dcm', rows: 64, columns: 64, frames: 10, patient: 'Perfusion' },
};
const OTHERS = [
  'waveform_ecg.dcm',
  'liver.dcm',
  'examples_rgb_color.dcm',
  'reportsi.dcm',
  'charset/chrH32.dcm',
  'charset/chrRuss.dcm',
  'JPEG-LL.dcm',
  'RG3_J2KI.dcm',
];

/** Images that the viewer decodes itself, or in colour: painted at all is enough. */
const DECODED = { 'JPEG 2000': 'RG3_J2KI.dcm', 'JPEG Lossless': 'JPEG-LL.dcm', colour: 'examples_rgb_color.dcm' };

const UPLOADED = 'examples_palette.dcm';

/** Interpolation and a window take some of the likeness; another image has none. */
const LIKE = 0.94;

/** Study Instance UIDs by their files. */
const studies = {};

async function storeAll() {
  assert.deepEqual(await json(`${dicomweb}/studies`), [], 'the archive is not empty');
  for (const file of [...Object.values(IMAGES).map(image => image.file), ...OTHERS]) {
    studies[file] = (await store(dicomweb, path.join(fixtures, file))).study;
  }
}

/** The rows of the study list as they are seen. */
const rows = page =>
  page.evaluate(() =>
    [...document.querySelectorAll('[data-cy="study-list-results"] tr, [data-cy="studies-list"] tr, tbody tr')]
      .map(row => row.innerText.replace(/\s+/g, ' ').trim())
      .filter(Boolean)
  );

/** How many studies the list says there are. */
const count = page =>
  page.evaluate(() => {
    const found = /\d+-\d+ of (\d+)/.exec(document.body.innerText.replace(/\s+/g, ' '));
    return found ? Number(found[1]) : null;
  });

/** Each field of the list: what is typed, and the query that finds the same. */
async function filters(page, all) {
  // Those of the date and the modality are other inputs.
  const texts = page.locator('input.border-input:not([id])');
  const fields = [
    // Of an answer the list shows what it finds in the alphabetic group itself, so 山田 would be no row.
    ['patient name in Japanese', () => texts.nth(0).fill('ﾔﾏﾀﾞ'), 'PatientName=*ﾔﾏﾀﾞ*'],
    ['patient name', () => texts.nth(0).fill('compressed'), 'PatientName=*compressed*'],
    ['patient name in Cyrillic', () => texts.nth(0).fill('Люкceмбypг'), 'PatientName=*Люкceмбypг*'],
    ['MRN', () => texts.nth(1).fill('4MR'), 'PatientID=*4MR*'],
    ['description', () => texts.nth(2).fill('Bone'), 'StudyDescription=*Bone*'],
    ['accession number', () => texts.nth(3).fill('FUJI'), 'AccessionNumber=*FUJI*'],
    [
      'study date',
      async () => {
        await page.locator('#studyDateTime-start').fill('2004-01-01');
        await page.keyboard.press('Enter');
        await page.locator('#studyDateTime-end').fill('2004-06-30');
        await page.keyboard.press('Enter');
      },
      'StudyDate=20040101-20040630',
    ],
    [
      'modality',
      async () => {
        await page.locator('[aria-label="Filter Modalities"]').click();
        await page.getByRole('option', { name: 'ECG', exact: true }).click();
      },
      'ModalitiesInStudy=ECG',
    ],
  ];
  for (const [name, type, query] of fields) {
    const expected = (await json(`${dicomweb}/studies?${encodeURI(query)}`)).length;
    assert.ok(expected > 0 && expected < all, `${name}: a filter that proves nothing (${expected} of ${all})`);
    await page.goto(page.url().split('?')[0], { waitUntil: 'domcontentloaded' });
    await until('the study list', async () => (await count(page)) === all);
    const asked = page.waitForResponse(response => {
      const url = new URL(response.url());
      return url.pathname === '/dicomweb/studies' && /=[^&]*(\*|ECG|2004)/.test(url.search) && response.ok();
    });
    await type();
    await asked;
    await until(`${expected} studies by ${name}`, async () => (await count(page)) === expected);
    await page.screenshot({ path: path.join(pictures, `filter-${name.replaceAll(' ', '-')}.png`) });
    console.log(`filter by ${name}: ${expected} of ${all}`);
  }
}

/** The native frame of the file, clipped to where a window leaves greys. */
function frame({ file, rows, columns, frames }, number, shown) {
  const bytes = readFileSync(path.join(fixtures, file));
  const size = rows * columns * 2;
  const start = bytes.length - size * (frames - number + 1) - trailing(file);
  const pixels = Array.from({ length: rows * columns }, (_, index) => bytes.readInt16LE(start + index * 2));
  const kept = pixels.map((_, index) => index).filter(index => shown[index] > 0 && shown[index] < 255);
  return [kept.map(index => pixels[index]), kept.map(index => shown[index])];
}

/** Which frame of the file is shown, and how like it is. */
function likest(image, guesses) {
  let best = [0, 0];
  for (const shown of guesses) {
    for (let number = 1; number <= image.frames; number++) {
      const [pixels, greys] = frame(image, number, shown);
      const likeness = greys.length > 500 ? correlation(pixels, greys) : 0;
      if (likeness > best[1]) best = [number, likeness];
    }
  }
  return best;
}

/** Bytes after the pixels: the NEMA files end with an element of padding. */
const trailing = file => (file === 'emri_small.dcm' ? 0 : 138);

/** Opens a study, looks at it, and checks that nothing it asked for was refused. */
async function open(page, viewer, name, file, look) {
  const answers = [];
  const note = response => {
    if (response.url().startsWith(dicomweb)) answers.push([response.status(), response.url().slice(dicomweb.length)]);
  };
  page.on('response', note);
  await page.goto(`${viewer}/viewer?StudyInstanceUIDs=${studies[file]}`, { waitUntil: 'domcontentloaded' });
  const said = await look();
  await page.screenshot({ path: path.join(pictures, `${name}.png`) });
  page.off('response', note);
  const failed = answers.filter(([status]) => status >= 400);
  assert.deepEqual(failed, [], `${name}: refused requests`);
  assert.ok(answers.some(([, url]) => url.includes('/frames/')), `${name}: no frame was fetched`);
  console.log(`${name}: ${answers.length} requests, ${said}`);
}

/** The frames are painted as they are in the file, also after turning the wheel. */
async function compared(page, name, image) {
  const seen = [];
  const other = () =>
    until(`${seen.length ? 'another' : 'a'} frame of the ${name}`, async () => {
      await dismiss(page);
      const [number, likeness] = likest(image, await painted(page, image.rows, image.columns));
      return likeness > LIKE && !seen.some(([before]) => before === number) && [number, likeness.toFixed(3)];
    });
  seen.push(await other());
  for (let turn = 1; turn < Math.min(image.frames, 4); turn++) {
    await page.locator('.cornerstone-canvas').first().hover();
    await page.mouse.wheel(0, 100);
    seen.push(await other());
  }
  return `painted as in the file: ${seen.map(([number, likeness]) => `frame ${number} (${likeness})`).join(', ')}`;
}

/** Something with many shades is painted. */
async function shaded(page, name) {
  const shades = await until(`the ${name}`, async () => {
    await dismiss(page);
    const [, , , shown] = await painted(page, 64, 64);
    const different = new Set(shown).size;
    return different > 40 && different;
  });
  return `painted in ${shades} shades`;
}

/** A file chosen in the viewer's own dialog is stored, and in the list. */
async function upload(page, all) {
  await page.goto(page.url().split('?')[0], { waitUntil: 'domcontentloaded' });
  await until('the study list', async () => (await count(page)) === all);
  await dismiss(page);
  await page.getByText('Upload', { exact: true }).click();
  const stored = page.waitForResponse(answer => answer.request().method() === 'POST' && answer.url().startsWith(dicomweb));
  await page.locator('input[type="file"]').first().setInputFiles(path.join(fixtures, UPLOADED));
  const answer = await stored;
  assert.equal(answer.status(), 200, await answer.text());
  await page.screenshot({ path: path.join(pictures, 'upload.png') });
  await page.goto(page.url().split('?')[0], { waitUntil: 'domcontentloaded' });
  await until('the uploaded study', async () => (await count(page)) === all + 1);
  console.log(`upload: ${UPLOADED} is stored and listed`);
}

await storeAll();
const viewer = await serve(path.resolve(dist), dicomweb, Number(port));
const browser = await launch(folder);
try {
  const page = await browser.newPage({ viewport: { width: 1500, height: 900 } });
  await page.goto(viewer.url, { waitUntil: 'domcontentloaded' });
  const all = (await json(`${dicomweb}/studies`)).length;
  await until('the study list', async () => (await count(page)) === all);
  const list = await until('the rows', async () => (await rows(page)).join('\n').includes('CompressedSamples') && rows(page));
  await dismiss(page);
  await page.screenshot({ path: path.join(pictures, 'list.png') });
  console.log(`study list: ${all} studies, ${list.length} rows`);
  await filters(page, all);
  for (const [name, image] of Object.entries(IMAGES)) {
    await open(page, viewer.url, name, image.file, () => compared(page, name, image));
  }
  for (const [name, file] of Object.entries(DECODED)) {
    await open(page, viewer.url, name, file, () => shaded(page, name));
  }
  await page.goto(viewer.url, { waitUntil: 'domcontentloaded' });
  await upload(page, all);
  console.log('OHIF: no difference');
} finally {
  await browser.close();
  viewer.stop();
}
