/** The sleep application: does nothing, so that one can call other services from inside its pod. */
const idle = setInterval(() => {}, 1 << 30);
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    clearInterval(idle);
    process.exit(0);
  });
}
