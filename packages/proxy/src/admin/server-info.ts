import { NodeSchema } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import { PROXY_VERSION } from '../bootstrap/proxy-node.ts';
import { type AdminCommand, jsonResponse, textResponse } from './admin-context.ts';
import { messageJson } from './proto-json.ts';

/** `/ready`: what probes ask. */
export const readyCommand: AdminCommand = {
  path: '/ready',
  isMutation: false,
  help: 'print server state, return 200 if LIVE, otherwise return 503',
  run: ({ state }) => textResponse(`${state()}\n`, state() === 'LIVE' ? 200 : 503),
};

/** `/server_info`. */
export const serverInfoCommand: AdminCommand = {
  path: '/server_info',
  isMutation: false,
  help: 'print server version/status information',
  run({ state, clock, startedAtMs, settings, bootstrap }) {
    const uptime = `${Math.floor((clock.monotonicMs() - startedAtMs) / 1000)}s`;
    return jsonResponse({
      version: `meltemi/${PROXY_VERSION}/node-${process.versions.node}`,
      state: state(),
      uptime_current_epoch: uptime,
      uptime_all_epochs: uptime,
      hot_restart_version: 'disabled',
      command_line_options: settings.commandLine,
      ...(bootstrap.node === undefined ? {} : { node: messageJson(NodeSchema, bootstrap.node) }),
    });
  },
};

/** `/memory`: of the whole process, workers included in the physical size. */
export const memoryCommand: AdminCommand = {
  path: '/memory',
  isMutation: false,
  help: 'print current allocation/heap usage',
  run() {
    const { heapUsed, heapTotal, rss } = process.memoryUsage();
    return jsonResponse({
      allocated: String(heapUsed),
      heap_size: String(heapTotal),
      total_physical_bytes: String(rss),
    });
  },
};

/** `/hot_restart_version`. */
export const hotRestartVersionCommand: AdminCommand = {
  path: '/hot_restart_version',
  isMutation: false,
  help: 'print the hot restart compatibility version',
  run: () => textResponse('disabled\n'),
};
