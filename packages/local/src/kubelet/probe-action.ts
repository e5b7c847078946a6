import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createConnection } from 'node:net';
import type { Clock } from '@meltemi/base';
import { checkGrpcHealth } from '@meltemi/base/grpc-health';
import type { Container, IntOrString, LifecycleHandler, Probe } from '@meltemi/kube';
import type { ContainerExec } from './container-exec.ts';
import type { ContainerRun } from './pod-records.ts';

/** What a probe or hook is done to. */
export interface ProbeTarget {
  readonly container: Container;
  readonly run: ContainerRun;
  readonly podIp: string;
}

/** What probes and lifecycle hooks have in common: one way to ask something of a container. */
export type ProbeHandler = LifecycleHandler & Pick<Probe, 'grpc'>;

/** One attempt. @returns `undefined` when it succeeded, else what was wrong. */
export type ProbeAction = (
  handler: ProbeHandler,
  target: ProbeTarget,
  timeoutMs: number,
) => Promise<string | undefined>;

function resolvePort(port: IntOrString, container: Container): number {
  if (typeof port === 'number') return port;
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  return named ?? Number(port);
}

function probeHttp(
  httpGet: NonNullable<Probe['httpGet']>,
  { container, podIp }: ProbeTarget,
  signal: AbortSignal,
): Promise<string | undefined> {
  const isHttps = httpGet.scheme === 'HTTPS';
  const path = httpGet.path ?? '/';
  const headers: Record<string, string> = { 'user-agent': 'kube-probe/1.33', accept: '*/*', connection: 'close' };
  for (const { name, value } of httpGet.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  const options = {
    host: httpGet.host ?? podIp,
    port: resolvePort(httpGet.port, container),
    path: path.startsWith('/') ? path : `/${path}`,
    headers,
    agent: false,
    signal,
    // As the kubelet of Kubernetes does: a probe asks whether the server answers, not who it is.
    rejectUnauthorized: false,
  };
  return new Promise((resolve) => {
    const request = (isHttps ? httpsRequest : httpRequest)(options, (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      resolve(status >= 200 && status < 400 ? undefined : `HTTP probe failed with statuscode: ${status}`);
    });
    request.on('error', (error) => resolve(`Get "${options.host}:${options.port}${options.path}": ${error.message}`));
    request.end();
  });
}

function probeTcp(host: string, port: number, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port, signal });
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error) => resolve(`dial tcp ${host}:${port}: ${error.message}`));
  });
}

/** Probes and lifecycle hooks share their handlers. HTTP, TCP and gRPC go from the node to the pod's address. */
export function createProbeAction({
  exec,
  clock,
}: {
  readonly exec: ContainerExec;
  readonly clock: Clock;
}): ProbeAction {
  const dial = async (handler: ProbeHandler, target: ProbeTarget, signal: AbortSignal): Promise<string | undefined> => {
    const { httpGet, tcpSocket, grpc } = handler;
    if (httpGet !== undefined) return probeHttp(httpGet, target, signal);
    if (tcpSocket !== undefined) {
      return probeTcp(tcpSocket.host ?? target.podIp, resolvePort(tcpSocket.port, target.container), signal);
    }
    if (grpc !== undefined)
      return checkGrpcHealth({ host: target.podIp, port: grpc.port, service: grpc.service ?? '', signal });
    return undefined;
  };

  return async (handler, target, timeoutMs) => {
    const command = handler.exec?.command;
    if (command !== undefined) {
      const { exitCode, output } = await exec(target.run, command, { timeoutMs });
      return exitCode === 0 ? undefined : output.trim() || `exit code ${exitCode}`;
    }
    const controller = new AbortController();
    const waitMs = handler.sleep === undefined ? timeoutMs : handler.sleep.seconds * 1000;
    const { promise: timeUp, resolve: onTimeUp } = Promise.withResolvers<undefined>();
    const timer = clock.setTimer(() => {
      controller.abort();
      onTimeUp(undefined);
    }, waitMs);
    if (handler.sleep !== undefined) return timeUp;
    const problem = await dial(handler, target, controller.signal);
    timer.cancel();
    return problem !== undefined && controller.signal.aborted ? `timed out after ${timeoutMs} ms` : problem;
  };
}
