import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { type Log, type LogFields, silentLog } from '@meltemi/base';
import { eventually, freePort } from '@meltemi/testing';
import { startMeshDouble } from './mesh-double.ts';
import { KINDS, mtlsListener, START_MS, startSidecar, statusOf } from './sidecar-fixture.ts';

const HEALTHY = { proxy: 'sleep-1.app1', isHealthy: true };

/** Keeps what control planes log of applications, and of rejections. */
function collect(health: LogFields[], rejections: LogFields[]): Log {
  const log: Log = {
    ...silentLog,
    info: (_message, fields = {}) => void ('isHealthy' in fields && health.push(fields)),
    warn: (_message, fields = {}) => void rejections.push(fields),
    scope: () => log,
  };
  return log;
}

for (const { name, binary, skip } of KINDS) {
  for (const delta of ['true', 'false']) {
    test(`with ${name}, changes of the application's health reach the control plane, and the last one each new stream (delta: ${delta})`, {
      skip,
    }, async () => {
      const [told, rejections]: [LogFields[], LogFields[]] = [[], []];
      await using mesh = await startMeshDouble(undefined, { log: collect(told, rejections) });
      mesh.setListeners([mtlsListener(await freePort())]);
      let status = 200;
      const application = createServer((_request, response) => response.writeHead(status).end()).listen(0, '127.0.0.1');
      await once(application, 'listening');
      try {
        const { port } = application.address() as AddressInfo;
        const config = { readinessProbe: { httpGet: { port, path: '/ready' }, periodSeconds: 0.05 } };
        await using sidecar = await startSidecar(mesh, { binary, config, env: { ISTIO_DELTA_XDS: delta } });
        await eventually(() => assert.deepEqual(told.at(-1), HEALTHY), START_MS);
        status = 500;
        const sick = { proxy: 'sleep-1.app1', isHealthy: false, reason: '500' };
        await eventually(() => assert.deepEqual(told.at(-1), sick), START_MS);
        const before = told.length;

        mesh.stop();
        await mesh.restart();
        await eventually(() => assert.equal(told.length, before + 1), START_MS);
        assert.deepEqual(told.at(-1), sick);
        status = 200;
        await eventually(() => assert.deepEqual(told.at(-1), HEALTHY), START_MS);
        assert.equal(await statusOf(sidecar.readinessPort), 200);
        assert.deepEqual(rejections, [], 'an error of the application is none of its proxy');
      } finally {
        application.close();
        application.closeAllConnections();
      }
    });
  }
}
