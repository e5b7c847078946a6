/** Settings of the controllers' process. */
export const CONTROLLER_OPTIONS = {
  kubeconfig: { flag: 'kubeconfig', type: 'string', description: 'Kubeconfig of the cluster to look after' },
  cluster: { flag: 'cluster', type: 'string', default: 'local', description: 'Name of the cluster, for the log' },
  serviceCidr: {
    flag: 'service-cidr',
    type: 'string',
    description: 'Range of Service addresses; unused, the API server assigns them',
  },
  podCidr: {
    flag: 'pod-cidr',
    type: 'string',
    description: 'Range of pod addresses; unused, the kubelet assigns them',
  },
  nodeIp: { flag: 'node-ip', type: 'string', description: 'Address of the node; unused, routes lead to it' },
  dnsIp: { flag: 'dns-ip', type: 'string', description: 'Address on which cluster DNS listens' },
  dnsPort: { flag: 'dns-port', type: 'number', default: '53', description: 'Port on which cluster DNS listens' },
  dnsEndpoints: {
    flag: 'dns-endpoints',
    type: 'boolean',
    default: 'false',
    description: "Answer with addresses of a Service's endpoints, where nothing rewrites the Service's own",
  },
  clusterDomain: {
    flag: 'cluster-domain',
    type: 'string',
    default: 'cluster.local',
    description: 'Domain below which services have their names',
  },
  data: {
    flag: 'data',
    type: 'string',
    description: "Folder for the cluster's state; unused, every controller is stateless",
  },
  clusterControllers: {
    flag: 'cluster-controllers',
    type: 'boolean',
    default: 'true',
    description: "Do what kube-controller-manager does; without, only the node's Service rules and cluster DNS",
  },
  serviceRules: {
    flag: 'service-rules',
    type: 'boolean',
    default: 'true',
    description: 'Write Service addresses into iptables of this network namespace',
  },
  logLevel: {
    flag: 'log-level',
    env: 'MELTEMI_LOG_LEVEL',
    type: 'string',
    default: 'info',
    description: 'A level (debug, info, warn, error), or scope:level joined by commas',
  },
} as const;
