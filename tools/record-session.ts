/**
 * Records the terminal session of the README from a real run, and writes it into the README.
 *
 *     node tools/record-session.ts            start the walkthrough, run the commands below, write what they said
 *     node tools/record-session.ts --print    the same, printed instead
 *
 * It needs what `npm start` needs; the walkthrough must not be running.
 */
import { execFile, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const BEGIN = '<!-- session: recorded by tools/record-session.ts -->';
const END = '<!-- session: end -->';
const START = './meltemi up --walkthrough';
const HELLO =
  "./meltemi exec -n app1 deploy/sleep -- sh -c 'for i in 1 2 3 4; do curl -s helloworld.app1:5000/hello; done'";
const FILES = '-f examples/helloworld/virtualservice.yaml -f examples/helloworld/destinationrule.yaml';
const COMMANDS: readonly string[] = [
  HELLO,
  `./meltemi apply -n app1 ${FILES}`,
  HELLO,
  './meltemi proxy-status',
  './meltemi get pods -A --cluster cluster2',
  `./meltemi delete -n app1 ${FILES}`,
];
const START_TIMEOUT_MS = 120_000;

function run(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    // Named, in case that others run as well.
    const env = { ...process.env, NO_COLOR: '1', MELTEMI_DIR: join(ROOT, '.meltemi/walkthrough') };
    execFile('sh', ['-c', command], { cwd: ROOT, env }, (error, stdout, stderr) => {
      if (error === null) resolve(`${stdout}${stderr}`);
      else reject(new Error(`${command} failed: ${stderr}`, { cause: error }));
    });
  });
}

/** Starts the walkthrough; `transcript` grows with what it says. */
async function startWalkthrough(): Promise<{ transcript(): string; stop(): Promise<void> }> {
  const [program = '', ...args] = START.split(' ');
  const child = spawn(join(ROOT, program), args, {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.stderr.on('data', (chunk) => (said += String(chunk)));
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`Not up in time:\n${said}`)), START_TIMEOUT_MS);
    // What comes last goes to standard output: the commands to try.
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`${START} ended with ${code}:\n${said}`)));
    void ended.then(() => clearTimeout(timer));
    child.stdout.once('data', () => clearTimeout(timer));
  });
  return {
    transcript: () => said,
    async stop() {
      child.kill('SIGINT');
      await ended;
    },
  };
}

const walkthrough = await startWalkthrough();
let text = `$ ${START}\n${walkthrough.transcript()}`;
const beforeLength = walkthrough.transcript().length;
try {
  text += '\nIn a second terminal:\n';
  for (const command of COMMANDS) text += `\n$ ${command}\n${await run(command)}`;
} finally {
  await walkthrough.stop();
}
text += `\nCtrl-C in the first:\n\n${walkthrough.transcript().slice(beforeLength)}`;
const block = `${BEGIN}\n\n\`\`\`text\n${text.trimEnd()}\n\`\`\`\n\n${END}`;

if (process.argv.includes('--print')) process.stdout.write(`${block}\n`);
else {
  const file = join(ROOT, 'README.md');
  const readme = readFileSync(file, 'utf8');
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`README.md has no place for the session: ${BEGIN} … ${END}`);
  writeFileSync(file, readme.slice(0, begin) + block + readme.slice(end + END.length));
}
