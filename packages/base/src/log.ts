import { MeltemiError } from './pure/errors.ts';

/** Severity, from most to least talkative. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Facts that go with a message, by name; the names that lines have of their own are taken. */
export type LogFields = Readonly<Record<string, unknown>> & {
  readonly [own in 'time' | 'level' | 'scope' | 'message']?: never;
};

/** One scope of the structured log. One line per event that a person acts on; none per request above debug. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log whose lines name another scope; its level can be set apart from its parent's. */
  scope(name: string): Log;
}

/** Levels by scope, changeable at run time. */
export interface LogLevels {
  get(scope: string): LogLevel;
  /** @param scope A scope's name, or `default` for every scope that has no level of its own. */
  set(scope: string, level: LogLevel): void;
  entries(): ReadonlyMap<string, LogLevel>;
}

/** What a log writes, and where to. */
export interface LogOptions {
  readonly scope: string;
  readonly levels: LogLevels;
  /** Takes one finished line, without the line end. */
  readonly write: (line: string) => void;
  readonly nowMs: () => number;
  readonly json?: boolean;
}

/** Levels that start out the same for every scope. */
export function createLogLevels(defaultLevel: LogLevel = 'info'): LogLevels {
  const levels = new Map<string, LogLevel>([['default', defaultLevel]]);
  return {
    get: (scope) => levels.get(scope) ?? (levels.get('default') as LogLevel),
    set: (scope, level) => void levels.set(scope, level),
    entries: () => levels,
  };
}

/**
 * Reads levels as people write them: `debug` for everything, `kubelet:debug,default:warn` for scopes.
 *
 * @throws MeltemiError `USAGE` naming the word that is no level.
 */
export function parseLogLevels(text: string): LogLevels {
  const levels = createLogLevels();
  for (const part of text.split(',')) {
    const colon = part.lastIndexOf(':');
    const scope = colon < 0 ? 'default' : part.slice(0, colon).trim();
    const name = part.slice(colon + 1).trim();
    const level = LOG_LEVELS.find((known) => known === name);
    if (level === undefined || scope === '') {
      throw new MeltemiError(
        'USAGE',
        `Cannot read the log level "${part}"; write a level (${LOG_LEVELS.join(', ')}) or scope:level, joined by commas`,
      );
    }
    levels.set(scope, level);
  }
  return levels;
}

function formatField(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(value.message);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return typeof value === 'string' && /[\s"=]/.test(text) ? JSON.stringify(text) : String(text);
}

/** Creates a log that writes `time level scope message key=value…` lines, or JSON objects. */
export function createLog(options: LogOptions): Log {
  const { scope, levels, write, nowMs, json = false } = options;
  const emit = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(levels.get(scope))) return;
    const time = new Date(nowMs()).toISOString();
    if (json) {
      // An error has no members of its own that JSON would show.
      const show = (_name: string, value: unknown): unknown => (value instanceof Error ? value.message : value);
      write(JSON.stringify({ time, level, scope, message, ...fields }, show));
      return;
    }
    const suffix = Object.entries(fields)
      .map(([key, value]) => ` ${key}=${formatField(value)}`)
      .join('');
    write(`${time} ${level.padEnd(5)} ${scope} ${message}${suffix}`);
  };
  return {
    debug: (message, fields) => emit('debug', message, fields),
    info: (message, fields) => emit('info', message, fields),
    warn: (message, fields) => emit('warn', message, fields),
    error: (message, fields) => emit('error', message, fields),
    scope: (name) => createLog({ ...options, scope: name }),
  };
}

/** A log to standard error, for `main.ts` files. */
export function createProcessLog(
  scope: string,
  levels: LogLevels = createLogLevels(),
  { json = false }: Pick<LogOptions, 'json'> = {},
): Log {
  const write = (line: string): void => void process.stderr.write(`${line}\n`);
  return createLog({ scope, levels, write, nowMs: () => Date.now(), json });
}

/** A log that keeps nothing, for callers that have none. */
export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  scope: () => silentLog,
};
