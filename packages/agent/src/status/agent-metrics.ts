import type { Clock } from '@meltemi/base';
import type { WorkloadIdentity } from '../identity/workload-identity.ts';

/** The agent's own metrics, in Prometheus text. */
export function createAgentMetrics(identity: WorkloadIdentity, clock: Clock): () => string {
  const startedAtMs = clock.monotonicMs();
  return () => {
    const uptime = (clock.monotonicMs() - startedAtMs) / 1000;
    const secret = identity.current();
    const lines = ['# TYPE istio_agent_uptime_seconds gauge', `istio_agent_uptime_seconds ${uptime.toFixed(3)}`];
    if (secret !== undefined) {
      const secondsLeft = (secret.notAfterMs - clock.nowMs()) / 1000;
      lines.push('# TYPE istio_agent_cert_expiry_seconds gauge');
      lines.push(`istio_agent_cert_expiry_seconds{resource_name="default"} ${secondsLeft.toFixed(3)}`);
      lines.push('# TYPE istio_agent_cert_issued_total counter', `istio_agent_cert_issued_total ${secret.generation}`);
    }
    return `${lines.join('\n')}\n`;
  };
}
