/** The processes of one cluster of the bed: real Kubernetes servers, our kubelet, and our Service rules and DNS. */
import { join } from 'node:path';
import type { ClusterBackend, ComponentCommand } from '@meltemi/local';

type BackendCluster = Parameters<ClusterBackend['components']>[0];

/** The programs that a cluster is made of, by absolute path. */
export interface KubernetesPrograms {
  readonly etcd: string;
  readonly 'kube-apiserver': string;
  readonly 'kube-controller-manager': string;
  readonly 'kube-scheduler': string;
}

/** Who may read what Service rules and DNS are made of, and write addresses of balancers. */
export const NODE_SERVICES_USER = 'meltemi:node-services';

const API_PORT = 6443;
/** In the node's network namespace, where pods cannot reach them. */
const ETCD_URL = 'http://127.0.0.1:2379';
const ETCD_PEER_URL = 'http://127.0.0.1:2380';
const ISSUER = 'https://kubernetes.default.svc.cluster.local';
const HEALTH_PATHS = '/healthz,/readyz,/livez,/metrics';

function flags(values: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(values).map(([flag, value]) => `--${flag}=${value}`);
}

function etcd({ etcd: program }: KubernetesPrograms, { dataDir }: BackendCluster): ComponentCommand {
  const values = {
    name: 'bed',
    'data-dir': join(dataDir, 'etcd'),
    'listen-client-urls': ETCD_URL,
    'advertise-client-urls': ETCD_URL,
    'listen-peer-urls': ETCD_PEER_URL,
    'initial-advertise-peer-urls': ETCD_PEER_URL,
    'initial-cluster': `bed=${ETCD_PEER_URL}`,
    'log-level': 'warn',
  };
  // The state of a bed is of no use after a power cut, and each write would wait for the disk.
  return { name: 'etcd', argv: [program, ...flags(values), '--unsafe-no-fsync'] };
}

function apiServer(programs: KubernetesPrograms, { dataDir, nodeIp, serviceCidr }: BackendCluster): ComponentCommand {
  const pki = (file: string): string => join(dataDir, 'pki', file);
  const values = {
    'etcd-servers': ETCD_URL,
    'bind-address': nodeIp,
    'advertise-address': nodeIp,
    'secure-port': String(API_PORT),
    'tls-cert-file': pki('apiserver.crt'),
    'tls-private-key-file': pki('apiserver.key'),
    'client-ca-file': pki('ca.crt'),
    'service-account-issuer': ISSUER,
    'service-account-key-file': pki('sa.pub'),
    'service-account-signing-key-file': pki('sa.key'),
    'api-audiences': ISSUER,
    'service-cluster-ip-range': serviceCidr,
    'authorization-mode': 'Node,RBAC',
    'enable-admission-plugins': 'NodeRestriction',
    'allow-privileged': 'true',
    'kubelet-client-certificate': pki('apiserver-kubelet-client.crt'),
    'kubelet-client-key': pki('apiserver-kubelet-client.key'),
    'kubelet-certificate-authority': pki('ca.crt'),
    'kubelet-preferred-address-types': 'InternalIP',
    // Webhooks are reached at the addresses of their pods, which the node has routes to.
    'enable-aggregator-routing': 'true',
    profiling: 'false',
  };
  return { name: 'kube-apiserver', argv: [programs['kube-apiserver'], ...flags(values)] };
}

function controllerManager(programs: KubernetesPrograms, cluster: BackendCluster): ComponentCommand {
  const { dataDir, podCidr, serviceCidr } = cluster;
  const kubeconfig = join(dataDir, 'controllers.kubeconfig');
  const pki = (file: string): string => join(dataDir, 'pki', file);
  const values = {
    kubeconfig,
    'authentication-kubeconfig': kubeconfig,
    'authorization-kubeconfig': kubeconfig,
    'service-account-private-key-file': pki('sa.key'),
    'root-ca-file': pki('ca.crt'),
    'use-service-account-credentials': 'true',
    'cluster-signing-cert-file': pki('ca.crt'),
    'cluster-signing-key-file': pki('ca.key'),
    'bind-address': '127.0.0.1',
    'leader-elect': 'false',
    // The one node has the whole range, and says so itself.
    'allocate-node-cidrs': 'false',
    'cluster-cidr': podCidr,
    'service-cluster-ip-range': serviceCidr,
    'authorization-always-allow-paths': HEALTH_PATHS,
    'kube-api-qps': '200',
    'kube-api-burst': '400',
    profiling: 'false',
  };
  return { name: 'kube-controller-manager', argv: [programs['kube-controller-manager'], ...flags(values)] };
}

function scheduler(programs: KubernetesPrograms, { dataDir }: BackendCluster): ComponentCommand {
  const kubeconfig = join(dataDir, 'scheduler.kubeconfig');
  const values = {
    kubeconfig,
    'authentication-kubeconfig': kubeconfig,
    'authorization-kubeconfig': kubeconfig,
    'authorization-always-allow-paths': HEALTH_PATHS,
    'bind-address': '127.0.0.1',
    'leader-elect': 'false',
    profiling: 'false',
  };
  return { name: 'kube-scheduler', argv: [programs['kube-scheduler'], ...flags(values)] };
}

/** Joins the host's port, whose descriptor is handed in, with the API server: that one cannot take it over. */
function hostPort({ nodeIp, hostListenFd }: BackendCluster): ComponentCommand {
  const relay = join(import.meta.dirname, 'host-port.ts');
  return { name: 'host-port', inheritedFd: hostListenFd, argv: [process.execPath, relay, nodeIp, String(API_PORT)] };
}

function loadBalancers({ dataDir, podCidr }: BackendCluster): ComponentCommand {
  const program = join(import.meta.dirname, 'load-balancers.ts');
  const kubeconfig = join(dataDir, 'node-services.kubeconfig');
  return { name: 'load-balancers', argv: [process.execPath, program, kubeconfig, podCidr] };
}

function named(embedded: readonly ComponentCommand[], name: string): ComponentCommand {
  const found = embedded.find((component) => component.name === name);
  if (found === undefined) throw new Error(`BUG: the embedded cluster has no ${name}`);
  return found;
}

/** What `startEnvironment` needs to make its clusters real ones. */
export function kubernetesBackend(programs: KubernetesPrograms, kubeletFlags: readonly string[]): ClusterBackend {
  return {
    identities: [
      { file: 'scheduler', commonName: 'system:kube-scheduler' },
      { file: 'node-services', commonName: NODE_SERVICES_USER },
    ],
    components(cluster, embedded) {
      const kubeconfig = join(cluster.dataDir, 'node-services.kubeconfig');
      const kubelet = named(embedded, 'kubelet');
      return [
        etcd(programs, cluster),
        apiServer(programs, cluster),
        controllerManager(programs, cluster),
        scheduler(programs, cluster),
        hostPort(cluster),
        loadBalancers(cluster),
        {
          name: 'node-services',
          argv: [...named(embedded, 'controllers').argv, '--no-cluster-controllers', '--kubeconfig', kubeconfig],
        },
        { ...kubelet, argv: [...kubelet.argv, '--user-ids', ...kubeletFlags] },
      ];
    },
  };
}
