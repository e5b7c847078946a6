import { execSync } from 'node:child_process';
import { runIstioIptables } from '../commands/istio-iptables.ts';

// Runs `istio-iptables` once per argument list, and a shell line after each, in one process: starting one for each costs a
// quarter of a second. Input is the JSON of `[arguments, shell line]` pairs.
const steps = JSON.parse(process.argv[2] ?? '[]') as readonly (readonly [readonly string[], string])[];
for (const [args, line] of steps) {
  const code = await runIstioIptables({
    args,
    env: process.env,
    print: (text) => void process.stdout.write(text),
    printError: (text) => void process.stderr.write(`${text}\n`),
  });
  if (code !== 0) process.exit(code);
  process.stdout.write(`${execSync(line, { encoding: 'utf8' })}----\n`);
}
