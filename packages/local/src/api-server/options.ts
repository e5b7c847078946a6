/** Settings of the embedded API server's process: a table for `parseOptions`. */
export const API_SERVER_OPTIONS = {
  cluster: { flag: 'cluster', type: 'string', description: 'Name of the cluster, for the log' },
  data: { flag: 'data', type: 'string', description: 'Folder for the state' },
  pki: {
    flag: 'pki',
    type: 'string',
    description: 'Folder with ca.crt, apiserver.crt, apiserver.key, sa.key and apiserver-kubelet-client.crt and .key',
  },
  serviceCidr: { flag: 'service-cidr', type: 'string', default: '10.111.0.0/16', description: 'Addresses of Services' },
  podCidr: {
    flag: 'pod-cidr',
    type: 'string',
    default: '10.11.0.0/16',
    description: 'Addresses of pods; must not overlap those of Services',
  },
  listen: { flag: 'listen', type: 'string', description: 'HOST:PORT to listen on in this network namespace' },
  listenFd: { flag: 'listen-fd', type: 'number', description: 'Descriptor of a listening socket that was handed in' },
  logLevel: {
    flag: 'log-level',
    env: 'MELTEMI_LOG_LEVEL',
    type: 'string',
    default: 'info',
    description: 'A level (debug, info, warn, error), or scope:level joined by commas',
  },
} as const;
