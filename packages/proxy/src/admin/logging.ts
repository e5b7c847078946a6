import type { LogLevel, LogLevels } from '@meltemi/base';
import { type AdminCommand, textResponse } from './admin-context.ts';

/** Envoy's level names; ours are fewer. */
const LEVELS: Readonly<Record<string, LogLevel>> = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  warning: 'warn',
  warn: 'warn',
  error: 'error',
  critical: 'error',
  off: 'error',
};

/** The level that an Envoy name stands for. */
export function toLogLevel(name: string): LogLevel | undefined {
  return LEVELS[name];
}

function render(levels: LogLevels): string {
  const lines = [...levels.entries()].map(([scope, level]) => `  ${scope}: ${level === 'warn' ? 'warning' : level}\n`);
  return `active loggers:\n${lines.join('')}\n`;
}

/** Every change that a query asks for, or `undefined` when one of them has no such level. */
function readChanges(query: URLSearchParams, levels: LogLevels): [string, LogLevel][] | undefined {
  const changes: [string, string][] = [];
  for (const [key, value] of query) {
    if (key === 'level') for (const scope of levels.entries().keys()) changes.push([scope, value]);
    else if (key === 'paths') {
      for (const pair of value.split(',')) changes.push(pair.split(':') as [string, string]);
    } else changes.push([key, value]);
  }
  const known: [string, LogLevel][] = [];
  for (const [scope, name] of changes) {
    const level = toLogLevel(name);
    if (level === undefined) return undefined;
    known.push([scope, level]);
  }
  return known;
}

/** `/logging`: shows and changes levels. */
export const loggingCommand: AdminCommand = {
  path: '/logging',
  isMutation: true,
  help: 'query/change logging levels; ?level=, ?<scope>=<level>, ?paths=a:debug,b:info',
  run({ logLevels }, query) {
    if (logLevels === undefined) return textResponse('error: the levels of this process are not changed here\n', 400);
    const changes = readChanges(query, logLevels);
    if (changes === undefined) {
      const usage = 'error: unknown logger level\n\nlevels: trace debug info warning error critical off\n';
      return textResponse(`${usage}${render(logLevels)}`, 400);
    }
    for (const [scope, level] of changes) logLevels.set(scope, level);
    return textResponse(render(logLevels));
  },
};
