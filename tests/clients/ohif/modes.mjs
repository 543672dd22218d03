// OHIF's other modes in headless Chromium against a running server: a segmentation and a structure
// set drawn over their CT, the CT cut in three planes, CT and PET fused with uptake values, a study beside
// an earlier one, what the viewer itself stores (a segmentation and a measurement), and how the viewer decodes
// what the server encodes for it, or reads by the URI service.
//
//     node modes.mjs FOLDER DIST DICOMWEB-URL VIEWER-PORT PICTURES SAMPLES
//
// As session.mjs; SAMPLES is the folder that volumes.py filled.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { configuration, serve } from './page.mjs';
import { dismiss, json, launch, painted, store, until } from './reader.mjs';

const [folder, dist, dicomweb, port, pictures, samples] = process.argv.slice(2);
if (!samples) {
  console.error('node modes.mjs FOLDER DIST DICOMWEB-URL VIEWER-PORT PICTURES SAMPLES');
  process.exit(2);
}
mkdirSync(pictures, { recursive: true });

/** What is seen in each viewport: its shades, and how many of its pixels are no grey. */
async function viewports(page) {
  const seen = [];
  for (const canvas of await page.locator('.cornerstone-canvas').all()) {
    // What is drawn over the canvas is in the picture, too.
    const picture = await canvas.screenshot({ timeout: 5000 }).catch(() => null);
    if (!picture) continue;
    seen.push(
      await page.evaluate(async base64 => {
        const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${base64}`)).blob());
        const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
        pen.drawImage(bitmap, 0, 0);
        const { data } = pen.getImageData(0, 0, bitmap.width, bitmap.height);
        const shades = new Set();
        let coloured = 0;
        for (let index = 0; index < data.length; index += 4) {
          const [red, green, blue] = [data[index], data[index + 1], data[index + 2]];
          shades.add(red);
          // The viewer's own blue is none.
          if (Math.max(red, green) - Math.min(red, green) > 40) coloured++;
        }
        return { shades: shades.size, coloured };
      }, picture.toString('base64'))
    );
  }
  return seen;
}

const text = page => page.evaluate(() => document.body.innerText.replace(/\s+/g, ' '));

async function segmented(page, name) {
  const painted = () => viewports(page).then(all => all.some(({ shades }) => shades > 30));
  await until('the CT', async () => (await dismiss(page), (await text(page)).includes(name) && painted()));
  const before = Math.max(...(await viewports(page)).map(({ coloured }) => coloured));
  await until(`what ${name} has drawn`, async () => {
    await dismiss(page);
    await page.getByText(name, { exact: true }).first().dblclick().catch(() => {});
    await page.waitForTimeout(3000);
    await page.getByText('Yes', { exact: true }).first().click({ timeout: 2000 }).catch(() => {});
    await page.getByText('Ball of the CT', { exact: true }).first().click({ timeout: 2000 }).catch(() => {});
    await page.waitForTimeout(2000);
    return (await viewports(page)).some(({ coloured }) => coloured > before + 300);
  });
  return 'drawn over the CT';
}

/** The viewer stores what is loaded as another segmentation. */
async function exported(page) {
  await page.locator('[data-cy^="segmentation-collapsed-more-btn"]').first().click();
  await page.getByRole('menuitem', { name: 'Export' }).hover();
  await page.getByRole('menuitem', { name: 'DICOM SEG' }).click();
  const answered = page.waitForResponse(answer => answer.request().method() === 'POST');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  return (await answered).status();
}

async function planes(page, count) {
  await until(`${count} planes`, async () => {
    await dismiss(page);
    return (await viewports(page)).filter(({ shades }) => shades > 30).length >= count;
  });
  return `${count} viewports painted`;
}

async function fused(page) {
  // The uptake of the ball is between 2 and 6; as becquerels it would be 21,000.
  await planes(page, 9);
  const window = /PT 2.*?W: ?([\d.,]+)/.exec(await text(page));
  assert.ok(window && Number(window[1].replace(',', '')) < 50, `the window of the PET: ${window?.[1]}`);
  return `9 viewports painted, the PET's window is ${window[1]}`;
}

async function compared(page) {
  await until('both studies', async () => {
    await dismiss(page);
    const painted = (await viewports(page)).filter(({ shades }) => shades > 30).length;
    const shown = await page.locator('[data-cy="viewport-overlay-top-left"]').allInnerTexts();
    return painted >= 2 && shown.some(one => one.includes('2023')) && shown.some(one => one.includes('2024'));
  });
  return 'both are painted';
}

async function measured(page) {
  await planes(page, 1);
  await page.locator('[data-cy="Length"], [data-cy="Length-btn"]').first().click();
  const { x, y, width, height } = await page.locator('.cornerstone-canvas').first().boundingBox();
  await page.mouse.move(x + width / 2 - 100, y + height / 2);
  await page.mouse.down();
  await page.mouse.move(x + width / 2, y + height / 2, { steps: 5 });
  await page.mouse.move(x + width / 2 + 100, y + height / 2, { steps: 5 });
  await page.mouse.up();
  await page.getByText('Yes', { exact: true }).first().click();
  await page.locator('[data-cy="trackedMeasurements-btn"]').first().click();
  const [, length] = await until('the length', async () => /([\d.]+) mm/.exec(await text(page)));
  await page.getByText('Create SR', { exact: true }).first().click();
  const answered = page.waitForResponse(answer => answer.request().method() === 'POST');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  assert.equal((await answered).status(), 200, 'the report');
  const [report] = await json(`${dicomweb}/studies/${volume}/instances?Modality=SR`);
  const [metadata] = await json(`${report['00081190'].Value[0]}/metadata`);
  const numbers = [...JSON.stringify(metadata).matchAll(/"0040A30A":\{"vr":"DS","Value":\[([\d.]+)\]/g)];
  assert.deepEqual(numbers.map(([, number]) => Number(number).toFixed(1)), [Number(length).toFixed(1)]);
  return `${length} mm are stored as a report`;
}

/** Other ways to the same frames than as they are stored, as the configuration says them. */
const frames = (type, syntax) => ['acceptHeader', `['multipart/related; type=${type}; transfer-syntax=${syntax}']`];
const WAYS = {
  'RLE': frames('image/dicom-rle', '1.2.840.10008.1.2.5'),
  'JPEG Lossless': frames('image/jpeg', '1.2.840.10008.1.2.4.70'),
  'JPEG-LS': frames('image/jls', '1.2.840.10008.1.2.4.80'),
  'JPEG 2000': frames('image/jp2', '1.2.840.10008.1.2.4.90'),
  'HTJ2K': frames('image/jphc', '1.2.840.10008.1.2.4.201'),
  'the URI service': ['imageRendering', "'wadouri'"],
};

/** By every way the viewer paints the same. */
async function encoded(page) {
  const shown = async () => {
    await dismiss(page);
    const { 3: greys } = await painted(page, 128, 128);
    return new Set(greys).size > 20 && greys;
  };
  const stored = await until('the CT as stored', shown);
  for (const [name, [key, value]] of Object.entries(WAYS)) {
    const said = configuration(dicomweb).replace(new RegExp(`^ *${key}: .*\n`, 'm'), '');
    const body = said.replace("name: 'hilum',\n", `name: 'hilum',\n ${key}: ${value},\n`);
    await page.route('**/app-config.js', route => route.fulfill({ contentType: 'text/javascript', body }));
    const asked = [];
    const note = request => asked.push(`${request.url()} ${request.headers().accept}`);
    page.on('request', note);
    await page.reload({ waitUntil: 'domcontentloaded' });
    await until(`the CT in ${name}`, async () => String(await shown()) === String(stored));
    page.off('request', note);
    await page.unroute('**/app-config.js');
    const sign = key === 'acceptHeader' ? /syntax=([\d.]+)/.exec(value)[0] : 'requestType=WADO';
    assert.ok(asked.some(one => one.includes(sign)), `${name} was not asked for`);
  }
  return `the same in ${Object.keys(WAYS).join(', ')}`;
}

/** Opens a study in a mode, and checks that nothing it asked for was refused. */
async function open(page, name, place, work) {
  const refused = [];
  const note = answer => {
    if (answer.url().startsWith(dicomweb) && answer.status() >= 400) refused.push([answer.status(), answer.url()]);
  };
  page.on('response', note);
  await page.goto(`${viewer.url}${place}`, { waitUntil: 'domcontentloaded' });
  const said = await work(page).finally(() =>
    page.screenshot({ path: path.join(pictures, `${name.replaceAll(' ', '-')}.png`) })
  );
  page.off('response', note);
  assert.deepEqual(refused, [], `${name}: refused requests`);
  console.log(`${name}: ${said}`);
}

const studies = {};
for (const file of readdirSync(samples).sort()) {
  studies[file.split('-')[0]] = (await store(dicomweb, path.join(samples, file))).study;
}
const volume = studies.ct;
const viewer = await serve(path.resolve(dist), dicomweb, Number(port));
const browser = await launch(folder);
try {
  const page = await browser.newPage({ viewport: { width: 1500, height: 900 } });
  const of = query => `?StudyInstanceUIDs=${query}`;
  const segmentations = async () => (await json(`${dicomweb}/studies/${volume}/instances?Modality=SEG`)).length;
  await open(page, 'multiplanar', `/viewer${of(volume)}&hangingprotocolId=mpr`, page => planes(page, 3));
  await open(page, 'fusion', `/tmtv${of(volume)}`, fused);
  await open(page, 'prior', `/viewer${of(`${volume},${studies.prior}`)}&hangingprotocolId=@ohif/hpCompare`, compared);
  await open(page, 'structure set', `/segmentation${of(volume)}`, page => segmented(page, 'Ball as RTSTRUCT'));
  await open(page, 'segmentation', `/segmentation${of(volume)}`, async page => {
    const said = await segmented(page, 'Ball as SEG');
    assert.equal(await exported(page), 200);
    await until('the stored segmentation', async () => (await segmentations()) === 2);
    return `${said}, and stored by the viewer as another`;
  });
  await open(page, 'measurement', `/viewer${of(volume)}`, measured);
  await open(page, 'encodings', `/viewer${of(studies.prior)}`, encoded);
  console.log('OHIF: every mode works');
} finally {
  await browser.close();
  viewer.stop();
}
