/**
 * Calls `check` until it neither throws nor returns `false`, or the deadline passes.
 *
 * @param withinMs Deadline in milliseconds.
 * @returns What `check` returned last.
 * @throws The last error of `check`, or an error naming the deadline.
 */
export async function eventually<Value>(
  check: () => Value | Promise<Value>,
  withinMs: number,
  everyMs = 50,
): Promise<Exclude<Value, false>> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    let failure: unknown;
    try {
      const value = await check();
      if (value !== false) return value as Exclude<Value, false>;
      failure = new Error(`The condition was still false after ${withinMs} ms`);
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadline) throw failure;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
