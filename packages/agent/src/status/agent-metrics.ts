import type { Clock } from '@meltemi/base';
import type { DnsCounters } from '../dns/dns-server.ts';
import type { WorkloadIdentity } from '../identity/workload-identity.ts';

/** What the agent's metrics are read from. */
export interface AgentMetricsSources {
  readonly identity: WorkloadIdentity;
  readonly clock: Clock;
  /** `undefined` when DNS queries are not captured. */
  readonly dns: { counters(): DnsCounters } | undefined;
}

/** The agent's own metrics, in Prometheus text. */
export function createAgentMetrics({ identity, clock, dns }: AgentMetricsSources): () => string {
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
    if (dns !== undefined) {
      const { requests, upstreamRequests, failures } = dns.counters();
      lines.push('# TYPE istio_agent_dns_requests_total counter', `istio_agent_dns_requests_total ${requests}`);
      lines.push('# TYPE istio_agent_dns_upstream_requests_total counter');
      lines.push(`istio_agent_dns_upstream_requests_total ${upstreamRequests}`);
      lines.push('# TYPE istio_agent_dns_failures_total counter', `istio_agent_dns_failures_total ${failures}`);
    }
    return `${lines.join('\n')}\n`;
  };
}
