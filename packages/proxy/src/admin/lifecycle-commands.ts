import { messageOf } from '@meltemi/base';
import { type AdminCommand, type AdminContext, isSet, textResponse } from './admin-context.ts';

const OK = textResponse('OK\n');

/** `/quitquitquit`: the process ends without a drain. */
export const quitCommand: AdminCommand = {
  path: '/quitquitquit',
  isMutation: true,
  help: 'exit the server',
  run({ quit, clock }) {
    // After the answer has left.
    clock.setTimer(quit, 10);
    return OK;
  },
};

/** `/healthcheck/fail`. */
export const healthCheckFailCommand: AdminCommand = {
  path: '/healthcheck/fail',
  isMutation: true,
  help: 'cause the server to fail health checks',
  run({ setHealthCheckFailed }) {
    setHealthCheckFailed(true);
    return OK;
  },
};

/** `/healthcheck/ok`. */
export const healthCheckOkCommand: AdminCommand = {
  path: '/healthcheck/ok',
  isMutation: true,
  help: 'cause the server to pass health checks',
  run({ setHealthCheckFailed }) {
    setHealthCheckFailed(false);
    return OK;
  },
};

/** `/reopen_logs`. */
export const reopenLogsCommand: AdminCommand = {
  path: '/reopen_logs',
  isMutation: true,
  help: 'reopen access logs',
  run({ pool }) {
    pool.broadcast({ type: 'reopen_logs' });
    return OK;
  },
};

function startDrain(context: AdminContext, scope: 'all' | 'inbound', stopAccepting: boolean): void {
  context.drain({ scope, stopAccepting }).catch((error: unknown) => {
    context.log.warn('drain failed', { error: messageOf(error) });
  });
}

/** `/drain_listeners`: sheds connections; without `graceful` listening sockets close at once. */
export const drainListenersCommand: AdminCommand = {
  path: '/drain_listeners',
  isMutation: true,
  help: 'drain listeners; ?inboundonly, ?graceful, ?skip_exit',
  run(context, query) {
    const scope = isSet(query, 'inboundonly') ? 'inbound' : 'all';
    const neverStops = isSet(query, 'skip_exit');
    const isGraceful = isSet(query, 'graceful');
    startDrain(context, scope, !isGraceful && !neverStops);
    if (isGraceful && !neverStops) {
      context.clock.setTimer(() => startDrain(context, scope, true), context.settings.drainTimeMs);
    }
    return OK;
  },
};
