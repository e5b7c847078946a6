const POLL_MS = 5;

/**
 * Waits until a check passes, asking again every few milliseconds.
 *
 * @param check Passes by returning anything but `false`, and without throwing.
 * @throws What the last attempt threw, when time is up.
 */
export async function eventually<Value>(
  check: () => Value | Promise<Value>,
  withinMs = 5_000,
): Promise<Exclude<Value, false>> {
  const deadlineMs = performance.now() + withinMs;
  for (;;) {
    let failure: unknown = new Error(`The condition did not come true within ${withinMs} ms`);
    try {
      const value = await check();
      if (value !== false) return value as Exclude<Value, false>;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadlineMs) throw failure;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
