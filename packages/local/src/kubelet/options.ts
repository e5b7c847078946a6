/** The kubelet's command line. */
export const KUBELET_OPTIONS = {
  kubeconfig: { flag: 'kubeconfig', type: 'string', description: 'How the API is reached' },
  nodeName: { flag: 'node-name', type: 'string', description: 'Name of this node' },
  nodeIp: { flag: 'node-ip', type: 'string', description: "This node's address, and its pods' gateway" },
  podCidr: { flag: 'pod-cidr', type: 'string', description: "Range of this node's pods" },
  dnsIp: { flag: 'dns-ip', type: 'string', description: "Address of the cluster's DNS server" },
  supervisor: { flag: 'supervisor', type: 'string', description: 'Unix socket of the supervisor' },
  data: { flag: 'data', type: 'string', description: 'Directory of this cluster; pods are kept below it' },
  images: { flag: 'images', type: 'string', description: 'JSON file: a list of {image, command, path, env}' },
  pki: { flag: 'pki', type: 'string', description: 'Directory with ca.crt, kubelet-server.crt and kubelet-server.key' },
  sandbox: { flag: 'sandbox', type: 'string', default: 'netns', description: 'Where pods run: netns or loopback' },
  userIds: {
    flag: 'user-ids',
    type: 'boolean',
    default: 'false',
    description: 'Containers run as the users of their securityContext; needs root and the sandbox netns',
  },
  tokenMaxAge: {
    flag: 'token-max-age',
    type: 'duration',
    default: '24h',
    description: 'Tokens of service accounts are replaced at this age, or at 80 % of their life when that is earlier',
  },
  runtime: { flag: 'runtime', type: 'string', default: '/run/meltemi', description: 'Directory on a tmpfs' },
  logLevel: {
    flag: 'log-level',
    env: 'MELTEMI_LOG_LEVEL',
    type: 'string',
    default: 'info',
    description: 'A level (debug, info, warn, error), or scope:level joined by commas',
  },
} as const;
