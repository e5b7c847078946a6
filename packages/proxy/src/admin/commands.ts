import { type AdminCommand, textResponse } from './admin-context.ts';
import { certsCommand } from './certs.ts';
import { clustersCommand } from './clusters.ts';
import { configDumpCommand } from './config-dump.ts';
import {
  drainListenersCommand,
  healthCheckFailCommand,
  healthCheckOkCommand,
  quitCommand,
  reopenLogsCommand,
} from './lifecycle-commands.ts';
import { listenersCommand } from './listeners.ts';
import { loggingCommand } from './logging.ts';
import { hotRestartVersionCommand, memoryCommand, readyCommand, serverInfoCommand } from './server-info.ts';
import { prometheusCommand, resetCountersCommand, statsCommand } from './stats.ts';

/** The list of commands, as `/help` and the answer to an unknown path show it. */
export function helpText(): string {
  const lines = [...COMMANDS.values()].map(
    ({ path, isMutation, help }) => `  ${path}${isMutation ? ' (POST)' : ''}: ${help}\n`,
  );
  return `admin commands are:\n  /: Admin home page\n${lines.join('')}`;
}

const helpCommand: AdminCommand = {
  path: '/help',
  isMutation: false,
  help: 'print out list of admin commands',
  run: () => textResponse(helpText()),
};

/** Every admin command, by path. */
export const COMMANDS: ReadonlyMap<string, AdminCommand> = new Map(
  [
    certsCommand,
    clustersCommand,
    configDumpCommand,
    drainListenersCommand,
    healthCheckFailCommand,
    healthCheckOkCommand,
    helpCommand,
    hotRestartVersionCommand,
    listenersCommand,
    loggingCommand,
    memoryCommand,
    quitCommand,
    readyCommand,
    reopenLogsCommand,
    resetCountersCommand,
    serverInfoCommand,
    statsCommand,
    prometheusCommand,
  ].map((command) => [command.path, command]),
);
