// Serves the built viewer (npm @ohif/app, its dist) with a configuration that
// leads to one DICOMweb server, as a site would: other origin than the archive,
// isolated (COOP, COEP) so that its workers may share memory.

import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
};

/** The configuration that docs/OHIF.md shows. */
export const configuration = dicomweb => `window.config = {
  routerBasename: null,
  extensions: [],
  modes: [],
  showStudyList: true,
  maxNumberOfWebWorkers: 2,
  showLoadingIndicator: true,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  strictZSpacingForVolumeViewport: true,
  defaultDataSourceName: 'hilum',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'hilum',
      configuration: {
        friendlyName: 'Hilum',
        name: 'hilum',
        qidoRoot: '${dicomweb}',
        wadoRoot: '${dicomweb}',
        wadoUriRoot: '${dicomweb}/wado',
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        supportsStow: true,
        dicomUploadEnabled: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        omitQuotationForMultipartRequest: true,
        singlepart: 'bulkdata,video,pdf',
        bulkDataURI: { enabled: true },
      },
    },
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomwebproxy',
      sourceName: 'dicomwebproxy',
      configuration: { friendlyName: 'Share links', name: 'dicomwebproxy' },
    },
  ],
};
`;

/** Starts the server; resolves to its address and a function that stops it. */
export function serve(dist, dicomweb, port) {
  const server = createServer((request, answer) => {
    const name = decodeURIComponent(new URL(request.url, 'http://viewer').pathname);
    answer.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    answer.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    if (name === '/app-config.js') {
      answer.setHeader('Content-Type', TYPES['.js']);
      answer.end(configuration(dicomweb));
      return;
    }
    let file = path.join(dist, path.normalize(name));
    // Paths of the viewer's own router are all the one page.
    if (!file.startsWith(dist) || !existsSync(file) || !statSync(file).isFile()) {
      file = path.join(dist, 'index.html');
    }
    answer.setHeader('Content-Type', TYPES[path.extname(file)] ?? 'application/octet-stream');
    createReadStream(file).pipe(answer);
  });
  return new Promise(resolve => {
    server.listen(port, '127.0.0.1', () => {
      resolve({ url: `http://127.0.0.1:${port}`, stop: () => server.close() });
    });
  });
}
