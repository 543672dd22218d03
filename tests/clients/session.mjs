// A viewer's session against a running server: the JavaScript dicomweb-client
// (that of OHIF and Slim) stores, searches and retrieves, with an
// XMLHttpRequest made of fetch in place of the browser's.
//
//     node session.mjs FOLDER http://127.0.0.1:8080/dicomweb
//
// FOLDER has the npm package in its node_modules. Exits with 1 at the first
// difference. The archive must be empty and is empty again afterwards.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** As much of the browser's class as dicomweb-client uses. */
globalThis.XMLHttpRequest = class {
  readyState = 0;
  responseType = '';
  #sent = {};
  #answered = new Headers();

  open(method, url) {
    this.method = method;
    this.url = url;
  }

  setRequestHeader(name, value) {
    this.#sent[name] = value;
  }

  getResponseHeader(name) {
    return this.#answered.get(name);
  }

  getAllResponseHeaders() {
    return [...this.#answered].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  }

  async send(body) {
    const answer = await fetch(this.url, { method: this.method, headers: this.#sent, body });
    const bytes = await answer.arrayBuffer();
    const text = () => new TextDecoder().decode(bytes);
    this.status = answer.status;
    this.#answered = answer.headers;
    if (this.responseType === 'arraybuffer') this.response = bytes;
    else if (this.responseType === 'json') this.response = bytes.byteLength ? JSON.parse(text()) : null;
    else this.response = this.responseText = text();
    this.readyState = 4;
    this.onreadystatechange?.();
    this.onloadend?.();
  }
};

const [folder, url] = process.argv.slice(2);
if (!url) {
  console.error('node session.mjs FOLDER URL');
  process.exit(2);
}
const require = createRequire(path.join(path.resolve(folder), 'anchor.js'));
const { DICOMwebClient } = require('dicomweb-client').api;
const fixtures = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../fixtures');
const file = name => new Uint8Array(readFileSync(path.join(fixtures, name)));
const buffer = name => file(name).buffer;
const same = (left, right, what) => assert.ok(Buffer.compare(Buffer.from(left), Buffer.from(right)) === 0, what);
const value = (row, tag) => row[tag]?.Value?.[0];

/** A client that remembers which of its public methods were called. */
const called = new Set();
const recorded = options =>
  new Proxy(new DICOMwebClient({ url, verbose: false, ...options }), {
    get(client, name) {
      if (typeof client[name] === 'function') called.add(name);
      return client[name];
    },
  });
const client = recorded();
assert.deepEqual(await client.searchForStudies(), [], 'the archive is not empty');

// Store: several files in one request, as a viewer's upload does.
const names = ['CT_small.dcm', 'emri_small.dcm', 'JPEG-LL.dcm', 'waveform_ecg.dcm', 'charset/chrH32.dcm'];
const answer = JSON.parse(await client.storeInstances({ datasets: names.map(buffer) }));
const stored = answer['00081199'].Value;
assert.equal(stored.length, names.length);

// Each acknowledged instance by the URL of the answer.
const places = {};
names.forEach((name, index) => {
  const [, studyInstanceUID, seriesInstanceUID, sopInstanceUID] =
    /studies\/([\d.]+)\/series\/([\d.]+)\/instances\/([\d.]+)$/.exec(value(stored[index], '00081190'));
  places[name] = { studyInstanceUID, seriesInstanceUID, sopInstanceUID };
});
assert.equal(places['CT_small.dcm'].sopInstanceUID, '1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322');

// Search at the three levels.
const studies = await client.searchForStudies();
assert.equal(studies.length, names.length);
const ct = places['CT_small.dcm'];
const found = await client.searchForStudies({ queryParams: { PatientName: 'compressed*', PatientID: '1CT1' } });
assert.deepEqual(found.map(row => value(row, '0020000D')), [ct.studyInstanceUID]);
const series = await client.searchForSeries({ studyInstanceUID: ct.studyInstanceUID });
assert.equal(value(series[0], '00080060'), 'CT');
const instances = await client.searchForInstances({ studyInstanceUID: ct.studyInstanceUID });
assert.equal(value(instances[0], '00080018'), ct.sopInstanceUID);
const paged = await client.searchForStudies({ queryParams: { limit: 2, offset: 4 } });
assert.deepEqual(paged, studies.slice(4));
const [japanese] = await client.searchForStudies({ queryParams: { PatientName: '山田*' } });
assert.equal(value(japanese, '0020000D'), places['charset/chrH32.dcm'].studyInstanceUID);

// Retrieve files, metadata, frames, bulk data.
same(await client.retrieveInstance(ct), file('CT_small.dcm'), 'the CT as it was stored');
const asSeries = await client.retrieveSeries(ct);
assert.equal(asSeries.length, 1);
same(asSeries[0], file('CT_small.dcm'), 'the series of the CT');
assert.equal((await client.retrieveStudy(ct)).length, 1);
const lossless = places['JPEG-LL.dcm'];
for (const level of ['Study', 'Series', 'Instance']) {
  const answer = await client[`retrieve${level}Metadata`](ct);
  const row = Array.isArray(answer) ? answer[0] : answer;
  assert.equal(value(row, '00080018'), ct.sopInstanceUID, `metadata of the ${level}`);
}
const enhanced = places['emri_small.dcm'];
const frames = await client.retrieveInstanceFrames({ ...enhanced, frameNumbers: [1, 10] });
const pixels = Buffer.from(file('emri_small.dcm'));
assert.equal(frames.length, 2);
for (const frame of frames) {
  assert.equal(frame.byteLength, 64 * 64 * 2);
  assert.ok(pixels.includes(Buffer.from(frame)), 'a frame is a range of the file');
}
// What OHIF asks for: whatever the frame is stored in.
const mediaTypes = [
  { mediaType: 'image/jpeg', transferSyntaxUID: '1.2.840.10008.1.2.4.70' },
  { mediaType: 'application/octet-stream', transferSyntaxUID: '1.2.840.10008.1.2.1' },
];
const [jpeg] = await client.retrieveInstanceFrames({ ...lossless, frameNumbers: [1], mediaTypes });
same(new Uint8Array(jpeg).slice(0, 2), [0xff, 0xd8], 'a JPEG stream');

const bulkOf = (dataSet, uris = []) => {
  for (const element of Object.values(dataSet)) {
    if (element.BulkDataURI) uris.push(element.BulkDataURI);
    if (element.vr === 'SQ') (element.Value ?? []).forEach(item => bulkOf(item, uris));
  }
  return uris;
};
const ecg = await client.retrieveInstanceMetadata(places['waveform_ecg.dcm']);
const uris = bulkOf(Array.isArray(ecg) ? ecg[0] : ecg);
assert.ok(uris.length > 0, 'the waveform is bulk data');
for (const BulkDataURI of uris) {
  const [bytes] = await client.retrieveBulkData({ BulkDataURI });
  assert.ok(bytes.byteLength > 0 && Buffer.from(file('waveform_ecg.dcm')).includes(Buffer.from(bytes)), BulkDataURI);
}
const single = recorded({ singlepart: true });
const [whole] = await single.retrieveBulkData({ BulkDataURI: uris[0] });
same(whole, (await client.retrieveBulkData({ BulkDataURI: uris[0] }))[0], 'a single part');

// The URI service by the address that the client makes up: as stored, for
// transferSyntax=* says so.
const address = client.buildInstanceWadoURIUrl({
  studyInstanceUID: ct.studyInstanceUID,
  seriesInstanceUID: ct.seriesInstanceUID,
  sopInstanceUID: ct.sopInstanceUID,
  contentType: 'application/dicom',
  transferSyntax: '*',
});
const byUri = await fetch(address.replace(/^[^?]*/, `${url}/wado`));
assert.equal(byUri.status, 200, address);
same(await byUri.arrayBuffer(), file('CT_small.dcm'), 'the CT by the URI service');

// Pictures.
const one = { ...enhanced, frameNumbers: [1] };
for (const [name, options] of [
  ['retrieveInstanceRendered', enhanced],
  ['retrieveInstanceFramesRendered', one],
  ['retrieveInstanceThumbnail', enhanced],
  ['retrieveInstanceFramesThumbnail', one],
]) {
  const answer = await client[name]({ ...options, mediaTypes: [{ mediaType: 'image/jpeg' }] });
  const [picture] = [answer].flat();
  same(new Uint8Array(picture).slice(0, 3), [0xff, 0xd8, 0xff], name);
}

for (const [set, get] of [['setVerbose', 'getVerbose'], ['setDebug', 'getDebug']]) {
  client[set](false);
  assert.equal(client[get](), false);
}

// The client has no deletion.
for (const { studyInstanceUID } of Object.values(places)) {
  const { status } = await fetch(`${url}/studies/${studyInstanceUID}`, { method: 'DELETE' });
  assert.equal(status, 204);
}
await assert.rejects(client.retrieveInstance(ct), error => error.status === 410);
assert.deepEqual(await client.searchForStudies(), []);
const left = Object.getOwnPropertyNames(DICOMwebClient.prototype)
  .filter(name => name !== 'constructor' && !name.startsWith('_') && !called.has(name));
assert.deepEqual(left, [], 'methods of the client that were not called');
console.log(`dicomweb-client (JavaScript): ${names.length} fixtures, no difference`);
