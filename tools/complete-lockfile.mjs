// Adds lock entries for optional platform packages that the registry in use does not carry.
// npm leaves them out of package-lock.json, and `npm ci` then calls the lock incomplete. Every entry added here is
// optional and for another platform, so it is never downloaded on Linux with glibc, the only platform supported.
import { readFileSync, writeFileSync } from 'node:fs';

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const platform = (name) => {
  const os = /win32/.test(name)
    ? 'win32'
    : (/(darwin|android|freebsd|openbsd|netbsd|sunos|aix|openharmony|wasm32|wasi|linux)/.exec(name)?.[1] ?? 'unknown');
  return {
    os,
    libc: /musl/.test(name) ? 'musl' : undefined,
    cpu: /(arm64|x64|arm|ia32|riscv64|ppc64|s390x|loong64|mips64el|wasm32)/.exec(name)?.[1] ?? 'none',
  };
};
let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (
      path === '' ||
      lock.packages[`node_modules/${name}`] !== undefined ||
      lock.packages[`${path}/node_modules/${name}`] !== undefined
    )
      continue;
    const { os, libc, cpu } = platform(name);
    lock.packages[`node_modules/${name}`] = {
      version: version.replace(/^[\^~]/, ''),
      cpu: [cpu === 'none' || (os === 'linux' && libc === undefined) ? 'none' : cpu],
      ...(entry.dev ? { dev: true } : {}),
      ...(libc ? { libc: [libc] } : {}),
      optional: true,
      os: [os === 'wasm32' || os === 'wasi' || os === 'unknown' ? 'none' : os],
    };
    console.log(`added ${name}@${version}`);
    added += 1;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} entries added`);
