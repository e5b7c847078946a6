import { parseArgs } from 'node:util';
import { type LogLevels, parseLogLevels } from '@meltemi/base';

/** The flag that existing manifests pass, and that the annotation `sidecar.istio.io/agentLogLevel` sets. */
const FLAG = 'log_output_level';

/**
 * Reads the levels of the agent's own log from its command line: `default:info,xds:debug`. The levels `fatal` and `none`
 * leave what is left of a log without them: errors.
 *
 * @throws MeltemiError `USAGE` naming the word that is no level.
 */
export function readLogLevels(args: readonly string[]): LogLevels {
  const options = { [FLAG]: { type: 'string' } } as const;
  const { values } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true });
  const text = values[FLAG];
  const isGiven = typeof text === 'string' && text !== '';
  return parseLogLevels(isGiven ? text.replaceAll(/\b(?:fatal|none)\b/g, 'error') : 'info');
}
