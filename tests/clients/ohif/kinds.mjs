// What is more than a grey image, in OHIF in headless Chromium against a running
// server: a breast tomosynthesis in JPEG 2000, an ultrasound cine in JPEG, a whole slide of
// three levels, an encapsulated PDF, an electrocardiogram, and structured reports. What the canvas shows is compared
// with what the server renders of the same frame.
//
//     node kinds.mjs FOLDER DIST DICOMWEB-URL VIEWER-PORT PICTURES SAMPLES
//
// As session.mjs; SAMPLES is the folder that samples.py filled.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { serve } from './page.mjs';
import { correlation, dismiss, launch, painted, store, until } from './reader.mjs';

const [folder, dist, dicomweb, port, pictures, samples] = process.argv.slice(2);
if (!samples) {
  console.error('node kinds.mjs FOLDER DIST DICOMWEB-URL VIEWER-PORT PICTURES SAMPLES');
  process.exit(2);
}
const fixtures = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../../fixtures');
mkdirSync(pictures, { recursive: true });

/** The canvas enlarges, interpolates and windows; another frame is less like it. */
const LIKE = 0.94;

/** The red of every fourth pixel of a rendered frame. */
const rendered = (page, url, rows, columns) =>
  page.evaluate(
    async ([url, rows, columns]) => {
      const answer = await fetch(url, { headers: { Accept: 'image/png' } });
      const bitmap = await createImageBitmap(await answer.blob());
      const canvas = new OffscreenCanvas(columns, rows);
      const pen = canvas.getContext('2d');
      pen.drawImage(bitmap, 0, 0);
      const data = pen.getImageData(0, 0, columns, rows).data;
      return Array.from({ length: rows * columns }, (_, index) => data[4 * index]);
    },
    [url, rows, columns]
  );

/** How the painted viewport looks: its different shades, and how bright and how pink it is. */
async function look(page) {
  const box = await page.locator('[data-cy="viewport-grid"], .viewport-wrapper').first().boundingBox();
  const { x, y, width, height } = box ?? { x: 290, y: 60, width: 1060, height: 800 };
  const clip = { x: x + width / 4, y: y + height / 4, width: width / 2, height: height / 2 };
  const picture = (await page.screenshot({ clip })).toString('base64');
  return page.evaluate(async base64 => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${base64}`)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const pen = canvas.getContext('2d');
    pen.drawImage(bitmap, 0, 0);
    const data = pen.getImageData(0, 0, bitmap.width, bitmap.height).data;
    const shades = new Set();
    let [bright, pink] = [0, 0];
    for (let index = 0; index < data.length; index += 4) {
      const [red, green, blue] = [data[index], data[index + 1], data[index + 2]];
      shades.add((red << 16) | (green << 8) | blue);
      if (red > 200 && green > 200 && blue > 200) bright++;
      if (red - green > 40 && blue - green > 20) pink++;
    }
    return { shades: shades.size, bright: (4 * bright) / data.length, pink: (4 * pink) / data.length };
  }, picture);
}

/** Opens a study, looks at it, and checks that nothing it asked for was refused. */
async function open(page, viewer, name, study, work) {
  const answers = [];
  const note = response => {
    if (response.url().startsWith(dicomweb)) {
      answers.push({
        status: response.status(),
        url: response.url().slice(dicomweb.length),
        type: response.headers()['content-type'] ?? '',
      });
    }
  };
  page.on('response', note);
  await page.goto(`${viewer}/viewer?StudyInstanceUIDs=${study}`, { waitUntil: 'domcontentloaded' });
  const said = await work(answers);
  await page.screenshot({ path: path.join(pictures, `${name.replaceAll(' ', '-')}.png`) });
  page.off('response', note);
  assert.deepEqual(answers.filter(({ status }) => status >= 400), [], `${name}: refused requests`);
  console.log(`${name}: ${answers.length} requests, ${said}`);
}

/** Frames of a multi-frame image are painted as the server renders them, one after the other. */
async function frames(page, stored, rows, columns, count) {
  const references = [];
  for (let number = 1; number <= count; number++) {
    references.push(await rendered(page, `${dicomweb}${stored.instance}/frames/${number}/rendered`, rows, columns));
  }
  const seen = [];
  const other = () =>
    until(seen.length ? 'another frame' : 'a frame', async () => {
      await dismiss(page);
      let best = [0, 0];
      for (const shown of await painted(page, rows, columns)) {
        references.forEach((reference, index) => {
          const likeness = correlation(reference, shown);
          if (likeness > best[1]) best = [index + 1, likeness];
        });
      }
      return best[1] > LIKE && !seen.some(([number]) => number === best[0]) && best;
    });
  seen.push(await other());
  for (let turn = 0; turn < 2; turn++) {
    await page.locator('.cornerstone-canvas').first().hover();
    await page.mouse.wheel(0, 100);
    seen.push(await other());
  }
  return `painted as rendered: ${seen.map(([number, likeness]) => `frame ${number} (${likeness.toFixed(3)})`).join(', ')}`;
}

/** Tiles are fetched and painted, and others when one comes nearer. */
async function slide(page, levels, answers) {
  const tiles = level => answers.filter(({ url }) => url.startsWith(levels[level].instance) && url.includes('/frames/')).length;
  const { pink } = await until('the slide', async () => {
    await dismiss(page);
    const seen = await look(page);
    return seen.shades > 500 && seen.pink > 0.02 && seen.bright > 0.2 && seen;
  });
  const before = tiles(0);
  await page.mouse.move(800, 450);
  for (let turn = 0; turn < 6; turn++) {
    await page.mouse.wheel(0, -400);
    await page.waitForTimeout(200);
  }
  await until('tiles of the finest level', () => tiles(0) > 0 && tiles(0) >= before);
  return `painted, ${Math.round(100 * pink)} % cells; tiles of its levels: ${levels.map((_, level) => tiles(level)).join(', ')}`;
}

/** The browser's own viewer shows the document. */
async function document(page, answers) {
  await until('a white page', async () => {
    await dismiss(page);
    return (await look(page)).bright > 0.5;
  });
  assert.ok(
    answers.some(({ url, type }) => url.endsWith('/rendered') && type === 'application/pdf'),
    'the document was not fetched as rendered'
  );
  return 'its page is white paper';
}

/** The leads are drawn of the waveform's samples. */
async function leads(page, answers) {
  await until('the curves', async () => {
    await dismiss(page);
    return answers.some(({ url }) => url.endsWith('/bulkdata/54000100.1.54001010')) && (await look(page)).shades > 30;
  });
  return 'its leads are drawn';
}

const text = page => page.evaluate(() => globalThis.document.body.innerText.replace(/\s+/g, ' '));

/** The content tree of a report is there to read. */
async function report(page) {
  await until('the text of the report', async () => {
    await dismiss(page);
    return (await text(page)).includes("Recording Observer's Organization Name");
  });
  return 'its text is there to read';
}

/** What a report measures is drawn on the image it measures. */
async function measurement(page) {
  // The viewer loses what a report measures when it is opened before its image was painted.
  await until('the series and its image', async () => {
    await dismiss(page);
    const [shown = []] = await painted(page, 256, 256);
    return (await text(page)).includes('Measurements') && new Set(shown).size > 40;
  });
  await until('the measured length', async () => {
    await dismiss(page);
    await page.getByText('CT 1', { exact: true }).first().dblclick().catch(() => {});
    await page.waitForTimeout(2000);
    await page.getByText('Measurements', { exact: true }).first().dblclick().catch(() => {});
    await page.waitForTimeout(2000);
    return (await text(page)).includes('50.00 mm') || (await page.locator('svg text', { hasText: '50.00 mm' }).count()) > 0;
  });
  return 'its 50.00 mm are drawn on the image';
}

const sample = name => store(dicomweb, path.join(samples, name));
const tomosynthesis = await sample('tomosynthesis.dcm');
const levels = [await sample('slide-0.dcm'), await sample('slide-1.dcm'), await sample('slide-2.dcm')];
const pdf = await sample('document.dcm');
const measured = await sample('measured.dcm');
await sample('report.dcm');
const cine = await store(dicomweb, path.join(fixtures, 'examples_ybr_color.dcm'));
const waveform = await store(dicomweb, path.join(fixtures, 'waveform_ecg.dcm'));
const prose = await store(dicomweb, path.join(fixtures, 'reportsi.dcm'));

const viewer = await serve(path.resolve(dist), dicomweb, Number(port));
const browser = await launch(folder);
try {
  const page = await browser.newPage({ viewport: { width: 1500, height: 900 } });
  const shown = (name, study, work) => open(page, viewer.url, name, study, work);
  await shown('tomosynthesis', tomosynthesis.study, () => frames(page, tomosynthesis, 640, 480, 12));
  await shown('ultrasound cine', cine.study, () => frames(page, cine, 240, 320, 30));
  await shown('whole slide', levels[0].study, answers => slide(page, levels, answers));
  await shown('encapsulated PDF', pdf.study, answers => document(page, answers));
  await shown('electrocardiogram', waveform.study, answers => leads(page, answers));
  await shown('text report', prose.study, () => report(page));
  await shown('measurement report', measured.study, () => measurement(page));
  console.log('OHIF: every kind is shown');
} finally {
  await browser.close();
  viewer.stop();
}
