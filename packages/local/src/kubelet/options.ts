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
  runtime: { flag: 'runtime', type: 'string', default: '/run/meltemi', description: 'Directory on a tmpfs' },
  logLevel: {
    flag: 'log-level',
    env: 'MELTEMI_LOG_LEVEL',
    type: 'string',
    default: 'info',
    description: 'A level (debug, info, warn, error), or scope:level joined by commas',
  },
} as const;
