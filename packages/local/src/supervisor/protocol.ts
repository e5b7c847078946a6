/**
 * What kubelets and the supervisor say to each other: JSON objects, one per line, over a Unix socket.
 *
 * A kubelet asks, each request with a number of its own, and is answered under that number; in between it is told of
 * processes that ended. Processes are named by keys that begin with the node's name and a dot.
 */

/** How a process ended. */
export interface ProcessExit {
  /** 128 + the signal's number when a signal ended it, as shells and Kubernetes count. */
  readonly exitCode: number;
  readonly signal?: NodeJS.Signals;
  readonly finishedMs: number;
}

/** One process that the supervisor started; it stays listed after its end, until it is forgotten. */
export interface ProcessState {
  readonly key: string;
  readonly pid: number;
  readonly startedMs: number;
  readonly exit?: ProcessExit;
}

/** A process to be started. */
export interface SpawnRequest {
  readonly key: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** File that its output is appended to, line by line with time and stream. */
  readonly logPath: string;
}

/** Every request by its method: what is sent, what comes back. */
export interface SupervisorMethods {
  /** First on a connection: names the node, so that its processes are told of. Answers with them. */
  hello: { params: { readonly node: string }; result: readonly ProcessState[] };
  /** The node is registered and its pods are looked after. */
  ready: { params: Readonly<Record<string, never>>; result: null };
  spawn: { params: SpawnRequest; result: ProcessState };
  /** SIGKILL ends all that belongs to the process, any other signal goes to the process itself. */
  signal: { params: { readonly key: string; readonly signal: NodeJS.Signals }; result: null };
  forget: { params: { readonly key: string }; result: null };
}

/** A request on the wire. */
export interface SupervisorRequest {
  readonly id: number;
  readonly method: keyof SupervisorMethods;
  readonly params: unknown;
}

/** Everything that the supervisor sends. */
export type SupervisorMessage =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string }
  | { readonly event: 'exit'; readonly process: ProcessState };

/** Calls `onMessage` for each complete line of what is fed to the function returned. */
export function createLineReader(onLine: (line: string) => void): (text: string) => void {
  let rest = '';
  return (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() as string;
    for (const line of lines) if (line !== '') onLine(line);
  };
}
