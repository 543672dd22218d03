// What the sessions in the viewer share: a browser, waiting, storing, and what
// is painted on its canvas.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const value = (row, tag) => row[tag]?.Value?.[0];

export const json = async url => (await fetch(url, { headers: { Accept: 'application/dicom+json' } })).json();

/** Chromium as it is on a desk, with its viewer for PDF, but without a screen. */
export function launch(folder) {
  const modules = path.join(path.resolve(folder), 'node_modules');
  const { chromium } = createRequire(path.join(modules, 'anchor.js'))('playwright-core');
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: false,
    args: [
      '--headless=new',
      '--no-sandbox',
      '--use-angle=swiftshader',
      '--enable-unsafe-swiftshader',
      '--ignore-gpu-blocklist',
    ],
  });
}

/** Stores a file; the paths of its study and of itself under the DICOMweb root. */
export async function store(dicomweb, file) {
  const answer = await fetch(`${dicomweb}/studies`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/dicom' },
    body: readFileSync(file),
  });
  assert.ok(answer.ok, `${file}: ${answer.status}`);
  const stored = (await answer.json())['00081199'].Value[0];
  const [instance, study] = /\/studies\/([\d.]+)\/series\/.*/.exec(value(stored, '00081190'));
  return { study, instance };
}

/** Waits until `look` returns something true. */
export async function until(what, look, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  let seen;
  while (Date.now() < end) {
    seen = await look();
    if (seen) return seen;
    await new Promise(resolve => setTimeout(resolve, 250));
  }
  throw new Error(`${what} did not come within ${seconds} s`);
}

/** Away with what lies over the images. */
export async function dismiss(page) {
  for (const text of ['Skip all', 'Confirm and hide']) {
    const button = page.getByText(text, { exact: true });
    if (await button.isVisible().catch(() => false)) await button.click().catch(() => {});
  }
}

/**
 * The grey values of the image as it is painted, at the centre of each pixel:
 * once for each of some guesses how far it was enlarged to fit.
 */
export const painted = (page, rows, columns) =>
  page.evaluate(
    ([rows, columns]) => {
      const canvas = document.querySelector('.cornerstone-canvas');
      if (!canvas) return [];
      const { width, height } = canvas;
      const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
      return [0.97, 0.98, 0.99, 1, 1.01, 1.02, 1.03].map(factor => {
        const scale = Math.min(width / columns, height / rows) * factor;
        const found = [];
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            const x = Math.floor(width / 2 + (column + 0.5 - columns / 2) * scale);
            const y = Math.floor(height / 2 + (row + 0.5 - rows / 2) * scale);
            found.push(data[4 * (y * width + x)] ?? 0);
          }
        }
        return found;
      });
    },
    [rows, columns]
  );

export function correlation(a, b) {
  const mean = list => list.reduce((sum, item) => sum + item, 0) / list.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let index = 0; index < a.length; index++) {
    ab += (a[index] - ma) * (b[index] - mb);
    aa += (a[index] - ma) ** 2;
    bb += (b[index] - mb) ** 2;
  }
  return aa && bb ? ab / Math.sqrt(aa * bb) : 0;
}
